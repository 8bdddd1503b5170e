"""CINIC-10, from image folders in the layout of its archive."""

import numpy as np
import pytest
from PIL import Image

from hpcfl.data import load, load_labels
from hpcfl.data.cifar import CIFAR10
from hpcfl.errors import DataError


@pytest.fixture
def archive(tmp_path):
    """Two images of each class in each part, grey of a shade that tells which."""
    for at, part in enumerate(("train", "valid", "test")):
        for label, name in enumerate(CIFAR10):
            folder = tmp_path / "CINIC-10" / part / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("L", (32, 32), 60 * at + 6 * label + number).save(folder / f"n{number}.png")
    return tmp_path


def shades(x):
    return x[:, 0, 5, 7].tolist()


def test_train_and_valid_are_the_training_set(archive):
    dataset = load("cinic10", root=archive)
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((40, 3, 32, 32), (20, 3, 32, 32))
    assert dataset.labels == CIFAR10
    expected = [60 * at + 6 * label + number for at in range(3) for label in range(10) for number in range(2)]
    assert shades(dataset.x_train) + shades(dataset.x_test) == expected
    assert np.array_equal(dataset.y_train, np.tile(np.repeat(np.arange(10), 2), 2))
    assert np.array_equal(dataset.y_test, np.repeat(np.arange(10), 2))
    assert np.array_equal(load_labels("cinic10", root=archive).y, dataset.y_train)


def test_a_second_start_takes_what_was_kept(archive, tmp_path):
    first, again = (load("cinic10", root=archive, cache=tmp_path / "cache") for _ in range(2))
    assert np.array_equal(first.x_train, again.x_train)
    Image.new("L", (32, 32)).save(archive / "CINIC-10/valid/dog/new.png")
    assert len(load("cinic10", root=archive, cache=tmp_path / "cache").y_train) == 41
    assert len([*(tmp_path / "cache").glob("*/")]) == 1


def test_a_broken_image_is_named(archive):
    broken = archive / "CINIC-10/valid/frog/n1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError, match=f"{broken} is not a readable image"):
        load("cinic10", root=archive)


def test_what_is_not_there(archive):
    (archive / "CINIC-10/test/dog").rename(archive / "CINIC-10/test/wolf")
    with pytest.raises(DataError, match="CINIC-10/test has the classes .*truck, wolf; valid are airplane, auto"):
        load("cinic10", root=archive)
    (archive / "CINIC-10/test").rename(archive / "CINIC-10/tests")
    with pytest.raises(DataError, match=r"CINIC-10 \(incomplete: no test\)"):
        load("cinic10", root=archive)
