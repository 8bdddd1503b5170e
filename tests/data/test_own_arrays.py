"""Datasets of one's own: .npz files and functions by dotted path."""

import numpy as np
import pytest

from hpcfl.data import load, load_labels
from hpcfl.errors import DataError, JobError


def images_of(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


Y = {"y_train": np.array([0, 1, 2, 1], np.uint8), "y_test": np.array([2, 0], np.int16)}


def samples(train):
    return {"x_train": train, "x_test": train[:2], **Y}


def write(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return {"root": tmp_path, "params": {"path": "mine.npz"}}


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (images_of(4, 6, 5), lambda x: x[:, None]),
        (images_of(4, 1, 6, 5), lambda x: x),
        (images_of(4, 3, 6, 5), lambda x: x),
        (images_of(4, 6, 5, 3), lambda x: x.transpose(0, 3, 1, 2)),
        (images_of(4, 6, 5, 1), lambda x: x.transpose(0, 3, 1, 2)),
        (images_of(4, 3, 6, 3), lambda x: x),
    ],
    ids=["NHW", "N1HW", "NCHW", "NHWC", "NHW1", "both could be channels"],
)
def test_images_become_channels_first(tmp_path, given, first):
    dataset = load("npz", **write(tmp_path, **samples(given)))
    assert np.array_equal(dataset.x_train, first(given))
    assert np.array_equal(dataset.x_test, first(given)[:2])
    assert dataset.x_train.flags.c_contiguous
    assert dataset.mean == pytest.approx((first(given) / 255).mean((0, 2, 3)))
    assert dataset.std == pytest.approx((first(given) / 255).std((0, 2, 3)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_taken_as_they_are(tmp_path, dtype):
    given = np.arange(4 * 9 * 5).reshape(4, 9, 5).astype(dtype)
    dataset = load("npz", **write(tmp_path, **samples(given)))
    assert dataset.x_train.dtype == np.float32
    assert np.array_equal(dataset.x_train, given)
    assert (dataset.mean, dataset.std) == ((), ())


def test_labels(tmp_path):
    where = write(tmp_path, **samples(images_of(4, 6, 5)))
    dataset = load("npz", **where)
    assert dataset.y_train.dtype == np.int64
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == ([0, 1, 2, 1], [2, 0])
    assert (dataset.classes, dataset.labels) == (3, ("0", "1", "2"))


def test_labels_alone_leave_the_samples_on_disk(tmp_path):
    labels, classes, _ = load_labels("npz", **write(tmp_path, **Y))
    assert (labels.tolist(), classes) == ([0, 1, 2, 1], 3)


def test_an_absolute_path_needs_no_root(tmp_path):
    write(tmp_path, **samples(images_of(4, 6, 5)))
    assert load("npz", params={"path": str(tmp_path / "mine.npz")}).classes == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0.0, 1, 2, 1])}, "y_train is float64"),
        ({"y_train": np.eye(4, dtype=int)}, r"y_train is int64 \(4, 4\)"),
        ({"y_train": np.array([0, 1, -2, 1])}, "y_train has labels from -2"),
        ({"y_train": np.array([0, 1, 5000, 1])}, "the largest label is 5,000; number the classes 0, 1, 2"),
        ({"y_test": np.array([], int)}, r"y_test is int64 \(0,\)"),
        ({"x_train": images_of(4, 6)}, r"x_train is uint8 \(4, 6\); valid are images"),
        ({"x_train": images_of(4, 7, 6, 5)}, r"x_train is uint8 \(4, 7, 6, 5\); valid are images"),
        ({"x_train": np.zeros((4, 6, 5), int)}, "x_train is int64; valid are uint8 images and floats"),
        ({"x_train": np.full((4, 6, 5), np.nan), "x_test": np.zeros((2, 6, 5))}, "x_train contains NaN"),
        ({"x_train": images_of(3, 6, 5)}, "x_train has 3 samples"),
        ({"x_test": np.array([{}, {}])}, "not a readable .npz: Object arrays cannot be loaded"),
    ],
)
def test_what_a_file_must_not_hold(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        load("npz", **write(tmp_path, **{**samples(images_of(4, 6, 5)), **changes}))
    assert "mine.npz" in str(caught.value)


def test_missing_arrays_are_named_with_those_found(tmp_path):
    with pytest.raises(DataError, match=r"no x_test, y_test among its arrays \(x_train, y_train, x_val\)"):
        load("npz", **write(tmp_path, x_train=images_of(4, 6, 5), y_train=Y["y_train"], x_val=1))
    with pytest.raises(DataError, match=r"no y_train, y_test among its arrays \(x\)"):
        load_labels("npz", **write(tmp_path, x=1))


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"text", lambda data: data[: len(data) // 2]])
def test_damaged_files(tmp_path, spoil):
    where = write(tmp_path, **samples(images_of(4, 6, 5)))
    file = tmp_path / "mine.npz"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match="mine.npz is not a readable .npz"):
        load("npz", **where)


def test_a_single_array_is_not_enough(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(DataError, match="x.npy: is a single array"):
        load("npz", root=tmp_path, params={"path": "x.npy"})


def test_a_missing_file_says_what_the_path_counts_from(tmp_path):
    with pytest.raises(
        DataError, match=f"there is no file {tmp_path}/mine.npz; a relative path counts from the data root"
    ):
        load("npz", root=tmp_path, params={"path": "mine.npz"})
    with pytest.raises(DataError, match="counts from the working directory, as no data root is given"):
        load("npz", params={"path": "mine.npz"})


MODULE = """
import numpy as np
from hpcfl.data import Dataset

def arrays(count, shift: float = 0.0):
    x = np.full((count, 3), shift)
    y = np.arange(count) % 2
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}

def whole():
    x, y = np.ones((2, 3), np.float32), np.array([0, 1])
    return Dataset(x, y, x, y, 2, ("no", "yes"))

def anything(**others):
    return arrays(**others)

def fails():
    raise KeyError("column")

def nothing():
    pass

value = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_dataset.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_returns_arrays_or_a_dataset(module):
    dataset = load("own_dataset.arrays", params={"count": 4, "shift": 2.0})
    assert dataset.x_train.tolist() == [[2.0] * 3] * 4
    assert load("own_dataset.whole").labels == ("no", "yes")
    assert load_labels("own_dataset.anything", params={"count": 6})[0].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        (
            "own_dataset.array",
            {},
            JobError,
            "data.name = 'own_dataset.array': module own_dataset has no function 'array'",
        ),
        ("own_dataset.value", {}, JobError, "has no function 'value'"),
        ("own_datset.arrays", {}, JobError, r"cannot import 'own_datset' \(ModuleNotFoundError"),
        ("own_broken.arrays", {}, JobError, r"cannot import 'own_broken' \(ZeroDivisionError: division by zero\)"),
        ("own_dataset.arrays", {}, JobError, "data.count: required, but missing"),
        ("own_dataset.arrays", {"count": 4, "shft": 1}, JobError, "data.shft: unknown key; did you mean shift"),
        ("own_dataset.whole", {"count": 4}, JobError, "data.count: takes no such key"),
        ("own_dataset.arrays", {"count": "4"}, DataError, "it raised TypeError"),
        ("own_dataset.fails", {}, DataError, "'own_dataset.fails': it raised KeyError: 'column'"),
        ("own_dataset.nothing", {}, DataError, "it returned NoneType; valid are a Dataset and a dict of x_train"),
    ],
)
def test_mistakes_in_a_dotted_path(module, name, params, error, message):
    with pytest.raises(error, match=message):
        load(name, params=params)


def test_text_is_whole_numbers_and_the_size_of_their_alphabet(tmp_path):
    given = np.array([[0, 4], [3, 2], [1, 1], [4, 0]], np.uint8)
    dataset = load("npz", **write(tmp_path, **samples(given), tokens=5))
    assert (dataset.x_train.dtype, dataset.tokens) == (np.int64, 5)
    assert np.array_equal(dataset.x_train, given)
    for tokens, message in ((4, "tokens from 0 to 4"), (0.5, "tokens is float64"), ([5, 5], r"tokens is int64 \(2,\)")):
        with pytest.raises(DataError, match=message):
            load("npz", **write(tmp_path, **samples(given), tokens=tokens))


def test_holders_say_whom_the_samples_come_from(tmp_path):
    where = write(tmp_path, **samples(images_of(4, 6, 5)), holders=np.array([1, 0, 1, 2], np.uint8))
    assert load("npz", **where).holders.tolist() == [1, 0, 1, 2]
    assert load_labels("npz", **where).holders.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize("holders", [[0, 2, 0, 2], [-1, 0, 0, 0], [0, 0], [0.5] * 4])
def test_holders_with_gaps_or_of_another_kind_are_refused(tmp_path, holders):
    with pytest.raises(DataError, match="holders"):
        load("npz", **write(tmp_path, **samples(images_of(4, 6, 5)), holders=np.array(holders)))
