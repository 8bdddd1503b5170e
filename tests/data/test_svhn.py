"""SVHN's MATLAB files."""

import numpy as np
import pytest
from scipy.io import savemat

from hpcfl.data import load, load_labels
from hpcfl.errors import DataError


def images_of(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def write(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 12), ("test", 5)):
        variables = {"X": images_of(32, 32, 3, count), "y": (np.arange(count) % 10 + 1)[:, None].astype(np.uint8)}
        savemat(folder / f"{name}_32x32.mat", {**variables, **changes})


@pytest.mark.parametrize("folder", ["SVHN", "svhn", "."])
def test_ten_is_zero_and_channels_come_first(tmp_path, folder):
    write(tmp_path / folder)
    dataset = load("svhn", root=tmp_path)
    assert np.array_equal(dataset.x_train[7], images_of(32, 32, 3, 12)[..., 7].transpose(2, 0, 1))
    assert dataset.y_train.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert dataset.x_test.shape == (5, 3, 32, 32)
    assert dataset.x_train.flags.c_contiguous
    assert load_labels("svhn", root=tmp_path)[0].tolist() == dataset.y_train.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": images_of(28, 28, 3, 5)}, r"X is uint8 \(28, 28, 3, 5\)"),
        ({"y": np.array([[0, 1]])}, "y is not whole numbers from 1 to 10"),
        ({"y": "text"}, "y is not whole numbers from 1 to 10"),
    ],
)
def test_other_matlab_files(tmp_path, changes, message):
    write(tmp_path / "SVHN", **changes)
    with pytest.raises(DataError, match=f"train_32x32.mat is not SVHN: {message}"):
        load("svhn", root=tmp_path)


def test_a_missing_variable(tmp_path):
    write(tmp_path / "SVHN")
    savemat(tmp_path / "SVHN/test_32x32.mat", {"X": images_of(32, 32, 3, 5)})
    with pytest.raises(DataError, match="test_32x32.mat is not SVHN: it has no y"):
        load("svhn", root=tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_truncated_file(tmp_path, keep):
    write(tmp_path / "SVHN")
    file = tmp_path / "SVHN/train_32x32.mat"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match="train_32x32.mat is"):
        load("svhn", root=tmp_path)
