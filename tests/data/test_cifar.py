"""CIFAR's pickled batches, as Python 2 and Python 3 wrote them, and what must not be unpickled."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from hpcfl.data import fetch, load, load_labels
from hpcfl.data.cifar import CIFAR100, CIFAR100_COARSE, read_batch
from hpcfl.errors import DataError


def images_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]


def python2_pickle(data, labels):
    """A batch in the opcodes of Python 2's cPickle, protocol 2, in which every text is a byte string."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K"
        + bytes([len(data)])
        + b"M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + data.size.to_bytes(4, "little")
        + data.tobytes()
        + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u."


def bytes_keys(protocol):
    def dump(data, labels):
        return pickle.dumps({b"batch_label": b"", b"data": data, b"labels": labels}, protocol)

    return dump


def text_keys(protocol):
    def dump(data, labels):
        return pickle.dumps({"batch_label": "", "data": data, "labels": labels}, protocol)

    return dump


DUMPS = {
    "python 2": python2_pickle,
    "bytes, protocol 2": bytes_keys(2),
    "bytes, protocol 5": bytes_keys(5),
    "text, protocol 2": text_keys(2),
    "text, protocol 4": text_keys(4),
}


def write_cifar10(folder, dump, count=4):
    folder.mkdir(parents=True)
    batches = {}
    for at, name in enumerate(BATCHES):
        data, labels = images_of(count, 3072, seed=at), [(at + step) % 10 for step in range(count)]
        (folder / name).write_bytes(dump(data, labels))
        batches[name] = data, labels
    return batches


@pytest.mark.parametrize("dump", DUMPS.values(), ids=DUMPS)
def test_batches_of_every_python(tmp_path, dump):
    batches = write_cifar10(tmp_path / "cifar-10-batches-py", dump)
    dataset = load("cifar10", root=tmp_path)
    expected = np.concatenate([batches[name][0] for name in BATCHES[:5]]).reshape(-1, 3, 32, 32)
    assert np.array_equal(dataset.x_train, expected)
    assert dataset.y_train.tolist() == sum((batches[name][1] for name in BATCHES[:5]), [])
    assert np.array_equal(dataset.x_test, batches["test_batch"][0].reshape(-1, 3, 32, 32))
    assert dataset.y_test.tolist() == batches["test_batch"][1]
    assert dataset.labels[3] == "cat"
    assert dataset.x_test.flags.writeable


def test_the_archive_itself(tmp_path):
    write_cifar10(tmp_path / "unpacked/cifar-10-batches-py", bytes_keys(2))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name in reversed(BATCHES):  # the official archive is not in order either
            tar.add(tmp_path / "unpacked/cifar-10-batches-py" / name, f"cifar-10-batches-py/{name}")
    packed, unpacked = load("cifar10", root=tmp_path), load("cifar10", root=tmp_path / "unpacked")
    assert np.array_equal(packed.x_train, unpacked.x_train)
    assert np.array_equal(packed.y_train, unpacked.y_train)
    assert fetch("cifar10", tmp_path) is False
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(DataError, match="cifar-10-python.tar.gz"):
        load("cifar10", root=tmp_path)


def test_fine_and_coarse_labels(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        batch = {b"data": images_of(3, 3072), b"fine_labels": [0, 50, 99], b"coarse_labels": [4, 16, 0]}
        (folder / name).write_bytes(pickle.dumps(batch, 2))
    fine, coarse = load("cifar100", root=tmp_path), load("cifar100", root=tmp_path, params={"labels": "coarse"})
    assert (fine.classes, fine.y_train.tolist()) == (100, [0, 50, 99])
    assert (coarse.classes, coarse.y_train.tolist()) == (20, [4, 16, 0])
    assert load_labels("cifar100", root=tmp_path, params={"labels": "coarse"})[1] == 20
    assert [fine.labels[label] for label in fine.y_train] == ["apple", "mouse", "worm"]


def test_class_names_are_in_the_published_order():
    for names, count in ((CIFAR100, 100), (CIFAR100_COARSE, 20)):
        assert len(set(names)) == count
        assert list(names) == sorted(names)


class Calls:
    """Unpickled, it would call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_refuses_to_execute(tmp_path, protocol):
    write_cifar10(tmp_path / "cifar-10-batches-py", bytes_keys(2))
    victim = tmp_path / "victim"
    victim.mkdir()
    evil = {b"data": images_of(1, 3072), b"labels": Calls(os.rmdir, str(victim))}
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(pickle.dumps(evil, protocol))
    with pytest.raises(DataError, match=r"data_batch_3: refuses to load a pickle that calls posix.rmdir"):
        load("cifar10", root=tmp_path)
    assert victim.is_dir()


@pytest.mark.parametrize("function", [eval, getattr, __import__, np.load, np.ndarray.tofile])
def test_refuses_everything_that_is_not_data(function):
    with pytest.raises(DataError, match="refuses to load"):
        read_batch(io.BytesIO(pickle.dumps(Calls(function, "x"), 4)), "batch")


def test_refuses_codecs():
    bomb = b"\x80\x02c_codecs\nencode\nU\x01xU\x04zlib\x86R."
    with pytest.raises(DataError, match="batch: refuses to load a pickle that decodes"):
        read_batch(io.BytesIO(bomb), "batch")


GOOD = {"data": images_of(2, 3072), "labels": [0, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "data_batch_1 is damaged: EOFError"),
        (pickle.dumps(GOOD)[:3000], "data_batch_1 is damaged"),
        (b"<html>", "data_batch_1 is damaged"),
        (pickle.dumps([1, 2]), "a pickled list, not a dict"),
        (pickle.dumps({"labels": [1]}), r"its data is NoneType, not uint8 \(N, 3072\)"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 784), np.uint8)}), r"its data is uint8 \(2, 784\)"),
        (pickle.dumps({"data": GOOD["data"]}), "labels is not a list of numbers"),
        (pickle.dumps({**GOOD, "labels": ["cat", "dog"]}), "labels is not a list of numbers"),
        (pickle.dumps({**GOOD, "labels": [1]}), "2 images, but 1 labels"),
        (pickle.dumps({**GOOD, "labels": [1, 10]}), "valid are 0 to 9"),
    ],
)
def test_damaged_batches(tmp_path, content, message):
    write_cifar10(tmp_path / "cifar-10-batches-py", bytes_keys(2))
    (tmp_path / "cifar-10-batches-py/data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load("cifar10", root=tmp_path)


def test_an_incomplete_folder_names_what_is_missing(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-py", bytes_keys(2))
    (tmp_path / "cifar-10-batches-py/data_batch_4").unlink()
    with pytest.raises(DataError, match=r"cifar-10-batches-py \(incomplete: no data_batch_4\)"):
        load("cifar10", root=tmp_path)
