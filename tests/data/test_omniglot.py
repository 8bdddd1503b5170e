"""Omniglot, from zip files as they are distributed and unpacked."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from hpcfl.data import find_root, load, load_labels
from hpcfl.errors import DataError, JobError

SMALL = {"size": 21, "test_share": 0.25}


def drawing(drawer, letter):
    """A 1-bit PNG of 105x105 pixels, white but for a stroke as tall as the letter's number, at the drawer's place."""
    ink = np.ones((105, 105), bool)
    ink[: 10 * letter, 5 * drawer : 5 * drawer + 5] = False
    file = io.BytesIO()
    Image.fromarray(ink).save(file, "PNG")
    return file.getvalue()


def pack(root, name, alphabets, drawers=4):
    """alphabets: name -> its number of letters."""
    (root / "omniglot").mkdir(exist_ok=True)
    with zipfile.ZipFile(root / "omniglot" / f"{name}.zip", "w") as archive:
        archive.writestr(f"{name}/readme.txt", "no image")
        for alphabet, letters in alphabets.items():
            for letter in range(1, letters + 1):
                for drawer in range(1, drawers + 1):
                    path = f"{name}/{alphabet}/character{letter:02}/{letter:04}_{drawer:02}.png"
                    archive.writestr(path, drawing(drawer, letter))


def test_letters_are_classes_and_drawers_of_an_alphabet_are_holders(tmp_path):
    pack(tmp_path, "images_background_small1", {"Greek": 3, "Latin": 2})
    dataset = load("omniglot", root=tmp_path, params=SMALL)
    letters = tuple(f"Greek/character0{at}" for at in (1, 2, 3)) + ("Latin/character01", "Latin/character02")
    assert dataset.labels == letters
    assert np.bincount(dataset.y_train).tolist() == [3] * 5
    assert np.bincount(dataset.y_test).tolist() == [1] * 5
    assert (dataset.x_train.shape, dataset.x_train.dtype) == ((15, 1, 21, 21), np.uint8)
    # the stroke is bright, and says who drew what: one column of the 21 for each drawer
    tall = (dataset.x_train[:, 0].max(2) > 127).sum(1)
    drawer = dataset.x_train[:, 0].sum(1, np.int64).argmax(1)
    assert tall.tolist() == (2 * np.array([1, 2, 3, 1, 2]))[dataset.y_train].tolist()
    _, expected = np.unique(drawer + 100 * (dataset.y_train >= 3), return_inverse=True)
    assert dataset.holders.tolist() == expected.tolist()


def test_all_files_that_are_there_are_read_and_nothing_twice(tmp_path):
    pack(tmp_path, "images_background_small1", {"Greek": 3, "Latin": 2})
    pack(tmp_path, "images_background_small2", {"Latin": 2, "Tagalog": 1})
    dataset = load("omniglot", root=tmp_path, params=SMALL)
    assert (dataset.classes, len(dataset.y_train) + len(dataset.y_test)) == (6, 24)
    second = load("omniglot", root=tmp_path, params={**SMALL, "files": ["images_background_small2"]})
    assert second.labels == ("Latin/character01", "Latin/character02", "Tagalog/character01")
    zipped = load("omniglot", root=tmp_path, params={**SMALL, "files": ["images_background_small2.zip"]})
    assert zipped.labels == second.labels


def test_unpacked_folders_are_the_same(tmp_path):
    pack(tmp_path, "images_background", {"Greek": 3, "Latin": 2})
    first = load("omniglot", root=tmp_path, params=SMALL)
    file = tmp_path / "omniglot/images_background.zip"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "omniglot")
    file.unlink()
    second = load("omniglot", root=tmp_path, params=SMALL)
    assert np.array_equal(first.x_train, second.x_train)
    assert np.array_equal(first.holders, second.holders)


def test_labels_alone(tmp_path):
    pack(tmp_path, "images_evaluation", {"Greek": 5, "Latin": 1})
    dataset, labels = (read("omniglot", root=tmp_path, params={"test_share": 0.5}) for read in (load, load_labels))
    assert np.array_equal(labels.y, dataset.y_train)
    assert np.array_equal(labels.holders, dataset.holders)
    assert dataset.shape == (1, 28, 28)


def test_what_is_not_there(tmp_path):
    pack(tmp_path, "images_background", {"Greek": 2})
    with pytest.raises(DataError, match="neither a folder nor a .zip of the name images_evaluation"):
        load("omniglot", root=tmp_path, params={"files": ["images_background", "images_evaluation"]})
    with pytest.raises(DataError, match="Omniglot is not under the data root"):
        load("omniglot", root=tmp_path, params={"files": ["strokes_background"]})
    with pytest.raises(JobError, match="data.files = 'a': must be a list of names in quotes"):
        load("omniglot", root=tmp_path, params={"files": "a"})
    with pytest.raises(JobError, match="data.files = .*: must be without repetition"):
        load("omniglot", root=tmp_path, params={"files": ["a", "a"]})


def test_damaged_files(tmp_path):
    pack(tmp_path, "images_background", {"Greek": 2})
    file = tmp_path / "omniglot/images_background.zip"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"IDAT", b"IDAX"))
    with pytest.raises(
        DataError, match=f"{file}/images_background/Greek/character01/0001_01.png is not a readable image"
    ):
        load("omniglot", root=tmp_path)
    file.write_bytes(whole[:100])
    with pytest.raises(DataError, match=f"{file} is damaged"):
        load("omniglot", root=tmp_path)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images_background/readme.txt", "")
    with pytest.raises(DataError, match="has no ALPHABET/characterNN/NNNN_NN.png in images_background"):
        load("omniglot", root=tmp_path)


def test_too_little_to_hold_out(tmp_path):
    pack(tmp_path, "images_background", {"Greek": 1})
    with pytest.raises(DataError, match="data.test_share = 0.01: would hold out 0 of 4 images"):
        load("omniglot", root=tmp_path, params={"test_share": 0.01})


def test_the_real_drawings():
    root = find_root(None, os.environ)
    files = ["images_background_small1", "images_background_small2"]
    if root is None or not all((root / "omniglot" / f"{name}.zip").is_file() for name in files):
        pytest.skip(f"Omniglot's small sets are not under HPCFL_DATA ({root})")
    dataset = load("omniglot", root=root, params={"files": files})
    assert (dataset.classes, len(dataset.y_train), len(dataset.y_test)) == (242, 242 * 16, 242 * 4)
    assert dataset.holders.max() + 1 == 8 * 20  # both have Greek and Latin
    assert np.bincount(dataset.y_test).tolist() == [4] * 242
    assert dataset.x_train.max() == 255 and 0.02 < dataset.mean[0] < 0.2
