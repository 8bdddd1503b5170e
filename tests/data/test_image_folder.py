"""Image folders."""

import numpy as np
import pytest
from PIL import Image

from hpcfl.data import load, load_labels
from hpcfl.errors import DataError, JobError

COLOURS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


def paint(folder, counts, size=(20, 12), ending="png"):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", size, COLOURS[name]).save(folder / name / f"{number}.{ending}")


def where(root, **params):
    return {"root": root, "params": {"path": "flags", "size": 8, **params}}


def test_train_and_test_folders(tmp_path):
    paint(tmp_path / "flags/train", {"red": 4, "blue": 3, "green": 2})
    paint(tmp_path / "flags/test", {"red": 2, "green": 1})
    dataset = load("folder", **where(tmp_path))
    assert dataset.labels == ("blue", "green", "red")
    assert dataset.y_train.tolist() == [0] * 3 + [1] * 2 + [2] * 4
    assert dataset.y_test.tolist() == [1, 2, 2]
    assert dataset.x_train.shape == (9, 3, 8, 8)
    for image, label in zip(dataset.x_train, dataset.y_train):
        assert np.array_equal(image[:, 3, 5], COLOURS[dataset.labels[label]])
    assert load_labels("folder", **where(tmp_path))[0].tolist() == dataset.y_train.tolist()


def test_a_fifth_of_every_class_is_held_out_always_the_same(tmp_path):
    paint(tmp_path / "flags", {"red": 20, "blue": 10})
    dataset = load("folder", **where(tmp_path))
    assert np.bincount(dataset.y_train).tolist() == [8, 16]
    assert np.bincount(dataset.y_test).tolist() == [2, 4]
    assert load_labels("folder", **where(tmp_path))[0].tolist() == dataset.y_train.tolist()
    larger = load("folder", **where(tmp_path, test_share=0.5))
    assert np.bincount(larger.y_test).tolist() == [5, 10]


def test_some_of_the_classes_in_the_order_asked_for(tmp_path):
    for part in ("train", "test"):
        paint(tmp_path / "flags" / part, {"red": 4, "blue": 3, "green": 2})
        paint(tmp_path / "flat", {"red": 4, "blue": 3, "green": 2})
    for path in ("flags", "flat"):
        params = {"path": path, "size": 8, "classes": ["red", "blue"], "test_share": 0.25}
        dataset = load("folder", root=tmp_path, params=params)
        assert dataset.labels == ("red", "blue")
        for image, label in zip(dataset.x_train, dataset.y_train):
            assert np.array_equal(image[:, 3, 5], COLOURS[dataset.labels[label]])
        assert load_labels("folder", root=tmp_path, params=params)[0].tolist() == dataset.y_train.tolist()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["red", "pink"], "data.classes: .*flags has no pink; it has blue, red"),
        (["red"], r"data.classes = \['red'\]: must be two or more of blue, red"),
    ],
)
def test_classes_that_are_not_there(tmp_path, classes, message):
    paint(tmp_path / "flags", {"red": 3, "blue": 3})
    with pytest.raises(DataError, match=message):
        load("folder", **where(tmp_path, classes=classes))


def test_the_held_out_images_depend_on_the_files_alone(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("red", "blue"):
        (tmp_path / "flags" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "flags" / name / f"{number}.png")
    first, second = load("folder", **where(tmp_path)), load("folder", **where(tmp_path))
    assert np.array_equal(first.x_test, second.x_test)
    shown = {image.tobytes() for image in (*first.x_train, *first.x_test)}
    assert len(shown) == 20


def test_the_middle_square_is_kept(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    for name in ("blue", "red"):
        (tmp_path / "flags" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels).save(tmp_path / "flags" / name / f"{number}.png")
    assert np.array_equal(load("folder", **where(tmp_path)).x_train, np.full((5, 3, 8, 8), 200))


@pytest.mark.parametrize(
    ("ending", "mode"), [("JPG", "L"), ("jpeg", "CMYK"), ("gif", "P"), ("webp", "RGBA"), ("ppm", "RGB")]
)
def test_every_format_becomes_rgb(tmp_path, ending, mode):
    for name in ("blue", "red"):
        (tmp_path / "flags" / name).mkdir(parents=True)
        for number in range(2):
            Image.new(mode, (9, 9)).save(tmp_path / "flags" / name / f"{number}.{ending}")
        (tmp_path / "flags" / name / "notes.txt").write_text("not an image")
        (tmp_path / "flags" / name / f".hidden.{ending}").write_text("not an image")
    assert load("folder", **where(tmp_path, test_share=0.25)).x_train.shape == (3, 3, 8, 8)


def test_a_damaged_image_is_named(tmp_path):
    paint(tmp_path / "flags", {"red": 3, "blue": 3})
    file = tmp_path / "flags/red/1.png"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=f"{file} is not a readable image"):
        load("folder", **where(tmp_path))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"red": 2}, {}, "at least two; it has only red"),
        ({"red": 2, "blue": 0}, {}, "blue has no images in it; valid endings are .bmp"),
        ({"red": 1, "blue": 1}, {}, "data.test_share = 0.2: would hold out 0 of the 2 images"),
        ({"red": 2, "blue": 2}, {"red": 1, "green": 1}, "test has classes that .*train has not: green"),
    ],
)
def test_folders_that_are_no_dataset(tmp_path, train, test, message):
    paint(tmp_path / "flags" / ("train" if test else ""), train)
    paint(tmp_path / "flags/test", test)
    with pytest.raises(DataError, match=message):
        load("folder", **where(tmp_path))


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match=f"data.path = 'flags': there is no folder {tmp_path}/flags"):
        load("folder", **where(tmp_path))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 0}, "data.size = 0: must be greater than 0"),
        ({"size": 8.5}, "data.size = 8.5: must be a whole number"),
        ({"size": True}, "data.size = True: must be a whole number"),
        ({"test_share": 1.0}, "data.test_share = 1.0: must be greater than 0 and less than 1"),
        ({"classes": "red"}, "data.classes = 'red': must be a list of names in quotes"),
        ({"path": ""}, "data.path = '': must be at least one character long"),
        ({"siez": 8}, "data.siez: unknown key; did you mean size"),
    ],
)
def test_mistakes_in_the_job(tmp_path, params, message):
    with pytest.raises(JobError, match=message):
        load("folder", **where(tmp_path, **params))
