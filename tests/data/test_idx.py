"""Idx files, plain and gzipped, whole and damaged."""

import gzip

import numpy as np
import pytest

from hpcfl.data import load, load_labels
from hpcfl.data.idx import read_idx
from hpcfl.errors import DataError, JobError


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("mnist", "mnist"), ("mnist", "."), ("fashion_mnist", "FashionMNIST/raw")],
)
def test_reads_every_layout(tmp_path, write_mnist, name, folder, zipped):
    root = tmp_path / "root"
    x_train, y_train, x_test, y_test = write_mnist(root / folder, zipped=zipped)
    dataset = load(name, root=root)
    assert np.array_equal(dataset.x_train, x_train[:, None])
    assert np.array_equal(dataset.y_train, y_train)
    assert np.array_equal(dataset.x_test, x_test[:, None])
    assert np.array_equal(dataset.y_test, y_test)
    assert dataset.shape == (1, 28, 28)
    assert dataset.x_train.flags.writeable  # torch.from_numpy warns of arrays that are not
    assert np.array_equal(load_labels(name, root=root)[0], y_train)


def test_the_usual_folder_comes_first(tmp_path, write_mnist):
    write_mnist(tmp_path / "mnist", first=5, classes=2)
    write_mnist(tmp_path / "MNIST/raw", first=1, classes=2)
    assert load("mnist", root=tmp_path).y_train.max() == 2


def test_labels_need_no_images(tmp_path, write_mnist):
    _, y_train, _, _ = write_mnist(tmp_path / "MNIST/raw")
    for file in (tmp_path / "MNIST/raw").glob("*images*"):
        file.write_bytes(b"")
    labels, classes, _ = load_labels("mnist", root=tmp_path)
    assert np.array_equal(labels, y_train)
    assert classes == 10


@pytest.mark.parametrize(("split", "classes", "first"), [("balanced", 47, 0), ("letters", 26, 1), ("byclass", 62, 0)])
def test_emnist_stands_upright_and_counts_from_zero(tmp_path, write_mnist, split, classes, first):
    prefixes = f"emnist-{split}-train", f"emnist-{split}-test"
    x_train, y_train, x_test, _ = write_mnist(tmp_path / "EMNIST/raw", prefixes, first=first, classes=10)
    dataset = load("emnist", root=tmp_path, params={"split": split})
    assert np.array_equal(dataset.x_train[:, 0], x_train.transpose(0, 2, 1))
    assert np.array_equal(dataset.x_test[:, 0], x_test.transpose(0, 2, 1))
    assert np.array_equal(dataset.y_train, y_train - first)
    assert np.array_equal(load_labels("emnist", root=tmp_path, params={"split": split})[0], y_train - first)
    assert dataset.classes == classes
    assert dataset.labels[10] == ("k" if split == "letters" else "A")
    assert dataset.mean == pytest.approx((x_train.mean() / 255,))


def test_emnist_as_zipped_by_nist(tmp_path, write_mnist):
    write_mnist(tmp_path / "EMNIST/raw/gzip", ("emnist-balanced-train", "emnist-balanced-test"), zipped=True)
    assert load("emnist", root=tmp_path).classes == 47


def test_emnist_knows_its_splits(tmp_path):
    with pytest.raises(JobError, match="data.split = 'balancd': must be one of byclass, bymerge, balanced"):
        load("emnist", root=tmp_path, params={"split": "balancd"})


WHOLE = bytes((0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 4)) + bytes(range(48))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing"),
        (b"<html>404 Not Found</html>", "begins with 3c 68 74 6d, not 00 00 08 03"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 50)) + bytes(50), "begins with 00 00 08 01"),
        (b"\0\0\x0d\x03" + WHOLE[4:], "begins with 00 00 0d 03"),
        (WHOLE[:10], "begins with"),
        (WHOLE[:-1], "cut short|only 47"),
        (WHOLE + b"\0", "it has more"),
        (WHOLE[:4] + b"\x7f\xff\xff\xff" * 3, "cut short"),
    ],
)
def test_damaged_files_are_named(tmp_path, data, message, zipped):
    file = tmp_path / f"images-ubyte{'.gz' * zipped}"
    file.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(file, 3)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda data: data[:-20], lambda data: b"no gzip", lambda data: data[:-6] + bytes(6)])
def test_damaged_gzip_is_named(tmp_path, spoil):
    file = tmp_path / "images-ubyte.gz"
    file.write_bytes(spoil(gzip.compress(WHOLE)))
    with pytest.raises(DataError, match="images-ubyte.gz is damaged"):
        read_idx(file, 3)


def test_images_of_another_size(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(WHOLE)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte has images of \(4, 4\) pixels"):
        load("mnist", root=tmp_path)


def test_fewer_labels_than_images(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 19)) + bytes(19))
    with pytest.raises(DataError, match="'mnist': x_train has 20 samples, but y_train has 19 labels"):
        load("mnist", root=tmp_path)


def test_another_dataset_of_the_same_file_names(tmp_path, write_mnist):
    write_mnist(tmp_path / "raw")
    labels = bytes((0, 0, 8, 1)) + (60_000).to_bytes(4, "big") + bytes(range(10)) * 6000
    (tmp_path / "raw/train-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match="not Fashion-MNIST: their first labels are 0, 1, 2"):
        load_labels("fashion_mnist", root=tmp_path)
