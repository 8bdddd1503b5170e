"""Image folders: one folder per class, its name the label."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from hpcfl.data.arrays import not_there, under
from hpcfl.data.dataset import Dataset, Labels, moments
from hpcfl.data.params import COUNT, NAMES, SHARE, TEXT
from hpcfl.data.sample import stratified
from hpcfl.data.source import Source
from hpcfl.errors import DataError
from hpcfl.rng import stream

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class Folder(Source):
    """Images in path/CLASS/*, or already divided in path/train/CLASS/* and path/test/CLASS/*.

    Classes are in the order of their names; with `classes`, those named in that order, and no others. The shorter side
    is scaled to `size` pixels, and the middle square is kept; grey images become RGB. Without train and test folders,
    `test_share` of every class is held out, always the same images as long as the files are the same; with them it is
    not used.
    """

    def read(
        self,
        root: Path | None,
        *,
        path: Annotated[str, TEXT],
        size: Annotated[int, COUNT],
        test_share: Annotated[float, SHARE] = 0.2,
        classes: Annotated[list[str] | None, NAMES] = None,
    ) -> Dataset:
        names, (train, y_train), (test, y_test) = _divided(root, path, test_share, classes)
        x_train = read_images(train, size)
        return Dataset(x_train, y_train, read_images(test, size), y_test, len(names), names, *moments(x_train))

    def labels(
        self, root: Path | None, *, path: str, size: int, test_share: float, classes: list[str] | None
    ) -> Labels:
        names, (_, y_train), _ = _divided(root, path, test_share, classes)
        return Labels(y_train, len(names))

    def origin(
        self, root: Path | None, *, path: str, test_share: float, classes: list[str] | None, **params: Any
    ) -> list[Path]:
        _, (train, _), (test, _) = _divided(root, path, test_share, classes)
        return [*train, *test]


def _divided(root: Path | None, path: str, test_share: float, asked: list[str] | None) -> tuple:
    """Class names, and (files, labels) of the training and of the test images."""
    folder = under(root, path)
    if not folder.is_dir():
        raise DataError(not_there(root, path, folder, "folder"))
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        classes = _chosen(folder / "train", asked)
        if strangers := sorted(set(classes_of(folder / "test")) - set(classes_of(folder / "train"))):
            raise DataError(f"{folder / 'test'} has classes that {folder / 'train'} has not: {', '.join(strangers)}")
        return classes, listed(folder / "train", classes), listed(folder / "test", classes)
    classes = _chosen(folder, asked)
    files, y = listed(folder, classes)
    held_out = round(test_share * len(files))
    if not 0 < held_out < len(files):
        raise DataError(
            f"data.test_share = {test_share}: would hold out {held_out} of the {len(files)} images in {folder}"
        )
    test = np.zeros(len(files), bool)
    test[stratified(y, held_out, stream(0, "data", "folder", "test"))] = True
    return classes, *(([files[at] for at in np.flatnonzero(part)], y[part]) for part in (~test, test))


def _chosen(folder: Path, asked: list[str] | None) -> tuple[str, ...]:
    """The classes that `data.classes` asks for, of those that are there."""
    there = classes_of(folder)
    if asked is None:
        return there
    if strangers := [name for name in asked if name not in there]:
        raise DataError(f"data.classes: {folder} has no {', '.join(strangers)}; it has {', '.join(there)}")
    if len(asked) < 2:
        raise DataError(f"data.classes = {asked!r}: must be two or more of {', '.join(there)}")
    return tuple(asked)


def classes_of(folder: Path) -> tuple[str, ...]:
    """The names of its folders, in order; DataError where there are not two."""
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(names) < 2:
        found = f"only {names[0]}" if names else "none"
        raise DataError(f"{folder} must have a folder of images for every class, at least two; it has {found}")
    return names


def listed(folder: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """The images of folder/CLASS, class by class in the order of their names, and (N,) int64 labels."""
    files: list[Path] = []
    counts = []
    for name in classes:
        images = (file for file in (folder / name).iterdir() if file.suffix.lower() in ENDINGS and file.name[0] != ".")
        files += sorted(images) if (folder / name).is_dir() else []
        counts.append(len(files) - sum(counts))
        if counts[-1] == 0 and folder.name != "test":
            raise DataError(f"{folder / name} has no images in it; valid endings are {', '.join(ENDINGS)}")
    return files, np.repeat(np.arange(len(classes)), counts)


def read_images(files: list[Path], size: int) -> np.ndarray:
    """(N, 3, size, size) uint8; DataError names the file that is no image."""
    from PIL import Image

    images = np.empty((len(files), 3, size, size), np.uint8)
    for image, file in zip(images, files):
        try:
            with Image.open(file) as opened:
                image[:] = fit(opened, (3, size, size))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{file} is not a readable image: {error}") from error
    return images


def fit(image: "Image.Image", shape: tuple[int, ...]) -> np.ndarray:
    """(C, H, W) uint8 of an image, turned upright: its middle, scaled; grey for C = 1, else RGB."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    fitted = np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(np.moveaxis(np.atleast_3d(fitted), 2, 0))
