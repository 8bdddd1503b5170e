"""The cache of datasets: the same arrays, read once, and never in the way."""

import dataclasses
import json
import multiprocessing
import os
import shutil

import numpy as np
import pytest

from hpcfl.data import cache, find_cache, find_root, find_stage, load
from hpcfl.data.arrays import from_arrays
from hpcfl.data.cache import cached
from hpcfl.errors import DataError, JobError


def dataset(seed=0, **more):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 256, (6, 1, 4, 4), np.uint8), np.arange(6) % 3
    return from_arrays({"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3], **more})


def same(one, other):
    for field in dataclasses.fields(one):
        mine, yours = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(mine, yours) if isinstance(mine, np.ndarray) else mine == yours
        assert type(mine) is type(yours)
    return True


class Reader:
    """Counts how often it reads."""

    def __init__(self, made):
        self.made, self.times = made, 0

    def __call__(self):
        self.times += 1
        return self.made


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SMALL", 10)
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / name).write_bytes(b"0123456789")
    return [tmp_path / "data" / name for name in "ab"]


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    "made",
    [
        dataset(),
        dataset(holders=np.array([0, 0, 1, 1, 2, 2])),
        from_arrays(
            {"x_train": np.ones((2, 3)), "y_train": np.arange(2), "x_test": np.zeros((1, 3)), "y_test": np.arange(1)}
        ),
        from_arrays(
            {"x_train": np.ones((2, 3), int), "y_train": np.arange(2), "x_test": np.zeros((1, 3), int),
             "y_test": np.arange(1), "tokens": 4}
        ),
    ],
    ids=["images", "holders", "floats", "text"],
)  # fmt: skip
def test_what_was_read_once_is_mapped(tmp_path, files, made):
    read, folder = Reader(made), tmp_path / "cache"
    for _ in range(3):
        assert same(cached(folder, "some", {"size": 3}, files, read), made)
    assert read.times == 1


def test_arrays_are_mapped_and_private(tmp_path, files):
    read, folder = Reader(dataset()), tmp_path / "cache"
    one, other = (cached(folder, "some", {}, files, read) for _ in range(2))
    assert one.x_train.flags.writeable
    one.x_train[:] = 7
    assert same(other, dataset())
    assert same(cached(folder, "some", {}, files, read), dataset())


@pytest.mark.parametrize("change", ["params", "content", "time", "name", "files"])
def test_another_key_is_another_entry(tmp_path, files, change):
    folder = tmp_path / "cache"
    cached(folder, "some", {"size": 3}, files, Reader(dataset()))
    params, name = {"size": 3}, "some"
    if change == "params":
        params = {"size": 4}
    elif change == "content":
        files[0].write_bytes(b"longer than before")
    elif change == "time":
        os.utime(files[0], ns=(1, 1))
    elif change == "name":
        name = "other"
    else:
        files = files[:1]
    assert same(cached(folder, name, params, files, Reader(dataset(1))), dataset(1))


def test_a_newer_entry_replaces_the_old_one(tmp_path, files):
    folder = tmp_path / "cache"
    for seed in range(3):
        os.utime(files[0], ns=(seed, seed))
        cached(folder, "some", {}, files, Reader(dataset(seed)))
    assert len(entries(folder)) == 1
    cached(folder, "some", {"size": 2}, files, Reader(dataset()))
    assert len(entries(folder)) == 2


def cut(entry):
    file = entry / "x_train.npy"
    file.write_bytes(file.read_bytes()[:-5])


def of_other_kind(entry):
    np.save(entry / "x_train.npy", np.zeros((6, 1, 4, 4), np.float32))


def wrong_labels(entry):
    np.save(entry / "y_train.npy", np.full(6, 99))


def pickled(entry):
    np.save(entry / "x_train.npy", np.array([print], object), allow_pickle=True)


def not_json(entry):
    (entry / "dataset.json").write_text("{")


def other_json(entry):
    (entry / "dataset.json").write_text("[1, 2]")


def stranger(entry):
    told = json.loads((entry / "dataset.json").read_text())
    (entry / "dataset.json").write_text(json.dumps({**told, "facts": {"colour": 1}}))


def without_an_array(entry):
    (entry / "y_test.npy").unlink()


@pytest.mark.parametrize(
    "damage", [cut, of_other_kind, wrong_labels, pickled, not_json, other_json, stranger, without_an_array]
)
def test_a_damaged_entry_is_read_from_the_source_and_mended(tmp_path, files, damage):
    folder = tmp_path / "cache"
    cached(folder, "some", {}, files, Reader(dataset()))
    damage(folder / entries(folder)[0])
    read = Reader(dataset())
    assert same(cached(folder, "some", {}, files, read), dataset())
    assert same(cached(folder, "some", {}, files, read), dataset())
    assert read.times == 1


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path, files):
    (tmp_path / "file").write_text("")
    read = Reader(dataset())
    for folder in (tmp_path / "file", tmp_path / "file" / "below", None):
        assert same(cached(folder, "some", {}, files, read), dataset())
    assert read.times == 3


def test_small_datasets_and_those_without_files_are_not_kept(tmp_path, files):
    folder = tmp_path / "cache"
    files[0].write_bytes(b"1")
    for few in (files[:1], [], [tmp_path / "absent"]):
        cached(folder, "some", {}, few, Reader(dataset()))
    assert not folder.exists()


def test_a_folder_stands_for_the_many_files_in_it(tmp_path):
    folder, images = tmp_path / "cache", tmp_path / "images"
    images.mkdir()
    for seed in range(2):
        (images / f"{seed}.png").write_text("")
        os.utime(images, ns=(seed, seed))
        read = Reader(dataset(seed))
        for _ in range(2):
            assert same(cached(folder, "some", {}, [images], read), dataset(seed))
        assert read.times == 1


def test_an_error_of_the_source_is_told_and_nothing_kept(tmp_path, files):
    def read():
        raise DataError("no such luck")

    with pytest.raises(DataError, match="no such luck"):
        cached(tmp_path / "cache", "some", {}, files, read)
    assert entries(tmp_path / "cache") == []


def one_rank(folder, files, barrier, log):
    cache.SMALL = 10

    def read():
        with log.open("a") as lines:
            lines.write("read\n")
        return dataset()

    barrier.wait()
    assert same(cached(folder, "some", {}, files, read), dataset())


@pytest.mark.parametrize("count", [4, 64])
def test_of_several_ranks_one_reads(tmp_path, files, count):
    context = multiprocessing.get_context("fork")
    barrier, log = context.Barrier(count), tmp_path / "log"
    ranks = [context.Process(target=one_rank, args=(tmp_path / "cache", files, barrier, log)) for _ in range(count)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * count
    assert log.read_text() == "read\n"


def test_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert find_cache(False, {"HPCFL_CACHE": "/b"}) is None
    assert str(find_cache("/a", {"HPCFL_CACHE": "/b"})) == "/a"
    assert str(find_cache(True, {"HPCFL_CACHE": "/b"})) == "/b"
    assert str(find_cache(True, {})) == "/home/ada/.cache/hpcfl"
    assert str(find_cache("~/c", {})) == "/home/ada/c"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_dataset_of_the_table(tmp_path, monkeypatch, write_mnist, zipped):
    monkeypatch.setattr(cache, "SMALL", 1)
    write_mnist(tmp_path / "mnist", zipped=zipped)
    plain = load("mnist", root=tmp_path)
    for _ in range(2):
        assert same(load("mnist", root=tmp_path, cache=tmp_path / "cache"), plain)
    assert len(entries(tmp_path / "cache")) == 1
    shutil.rmtree(tmp_path / "mnist")
    with pytest.raises(DataError, match="is not under the data root"):
        load("mnist", root=tmp_path, cache=tmp_path / "cache")


def test_a_stage_is_filled_from_the_cache(tmp_path, monkeypatch, write_mnist):
    monkeypatch.setattr(cache, "SMALL", 1)
    write_mnist(tmp_path / "mnist")
    plain = load("mnist", root=tmp_path)
    assert same(load("mnist", root=tmp_path, cache=tmp_path / "cache", stage=tmp_path / "n1"), plain)
    for file in (tmp_path / "mnist").rglob("*ubyte"):  # of the same size and time, but nobody can read them any more
        stat = file.stat()
        file.write_bytes(bytes(stat.st_size))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert same(load("mnist", root=tmp_path, cache=tmp_path / "cache", stage=tmp_path / "n2"), plain)
    shutil.rmtree(tmp_path / "cache")
    for node in ("n1", "n2"):
        assert same(load("mnist", root=tmp_path, stage=tmp_path / node), plain)
        assert len(entries(tmp_path / node)) == 1


def test_where_the_stage_lies(tmp_path):
    assert find_stage(None, {}) is None
    assert find_stage("$TMPDIR", {"TMPDIR": str(tmp_path)}) == tmp_path / "hpcfl"
    assert find_stage(f"{tmp_path}/a/${{USER}}", {"USER": "ada"}) == tmp_path / "a/ada/hpcfl"


@pytest.mark.parametrize(
    "given, said",
    [("$NVME/x", "NVME is not set"), ("/tmp/$", "begins no name"), ("/dev/null/x", "cannot be written")],
)
def test_a_stage_that_cannot_be_is_one_message(given, said):
    with pytest.raises(JobError) as caught:
        find_stage(given, {})
    assert str(caught.value).startswith(f"data.stage = {given!r}: ") and said in str(caught.value)


REAL = ("mnist", "fashion_mnist", "cifar10", "omniglot", "uci_har", "shakespeare", "ag_news", "speech_commands")


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_datasets_come_back_as_they_were(tmp_path, name):
    root = os.environ.get("HPCFL_DATA")
    if root is None:
        pytest.skip("HPCFL_DATA is not set")
    try:
        plain = load(name, root=find_root(None, os.environ))
    except DataError as absent:
        pytest.skip(str(absent).splitlines()[0])
    for _ in range(2):
        assert same(load(name, root=find_root(None, os.environ), cache=tmp_path / "cache"), plain)
    assert len(entries(tmp_path / "cache")) == 1
