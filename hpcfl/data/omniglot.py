"""Omniglot: the letters of fifty alphabets, each drawn by twenty people."""

import functools
import glob
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from hpcfl.data.dataset import Dataset, Labels, moments
from hpcfl.data.params import COUNT, NAMES, SHARE
from hpcfl.data.sample import numbered, stratified
from hpcfl.data.source import Placed
from hpcfl.errors import DataError
from hpcfl.rng import stream

FILES = ("images_background", "images_evaluation", "images_background_small1", "images_background_small2")
IMAGES = "*/character*/*.png"
IMAGE = re.compile(r"(?:.*/)?([^/]+)/(character\d+)/\d+_(\d+)\.png")


class Drawing(NamedTuple):
    """One image: what it shows, who drew it, and how to get its bytes."""

    letter: str
    """alphabet/character, as "Greek/character01"."""
    drawer: int
    """1 to 20."""
    path: str
    """For messages."""
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Omniglot(Placed):
    """Lake 2015: the class is the character, (1, size, size) uint8 with bright ink; a client draws one alphabet.

    Read from the zip files as distributed, or from what they unpack to; `files` says which of the four, by default all
    that are there. An image that is in several of them counts once. Each character was drawn by twenty people of
    Mechanical Turk, numbered 1 to 20 within the alphabet; the release does not say who drew several alphabets, so that
    the same number in two alphabets is two clients. `test_share` of each character's images are for testing.
    """

    def read(
        self,
        root: Path | None,
        *,
        size: Annotated[int, COUNT] = 28,
        test_share: Annotated[float, SHARE] = 0.2,
        files: Annotated[list[str] | None, NAMES] = None,
    ) -> Dataset:
        drawings, test, y, names = self._chosen(root, test_share, files)
        x = np.stack([_image(drawing, size) for drawing in drawings])
        x_train, holders = x[~test], _holders(drawings, ~test)
        return Dataset(x_train, y[~test], x[test], y[test], len(names), names, *moments(x_train), holders)

    def labels(self, root: Path | None, *, size: int, test_share: float, files: list[str] | None) -> Labels:
        drawings, test, y, names = self._chosen(root, test_share, files)
        return Labels(y[~test], len(names), _holders(drawings, ~test))

    def origin(self, root: Path | None, *, files: list[str] | None, **params: Any) -> list[Path]:
        folder, there = self._there(root, files)
        zipped = [folder / f"{name}.zip" for name in there]
        apart = (folder / name for name, file in zip(there, zipped) if not file.is_file())
        return [*filter(Path.is_file, zipped), *(file for each in apart for file in each.glob(IMAGES))]

    def _there(self, root: Path | None, files: list[str] | None) -> tuple[Path, list[str]]:
        """The folder, and which of the four are in it, of those that are wanted."""
        wanted = [name.removesuffix(".zip") for name in files or FILES]
        folder = self.locate(root, *(pattern for name in map(glob.escape, wanted) for pattern in (f"{name}.zip", name)))
        there = [name for name in wanted if (folder / f"{name}.zip").is_file() or (folder / name).is_dir()]
        if files and len(there) < len(wanted):
            lacking = ", ".join(name for name in wanted if name not in there)
            raise DataError(f"data.files: {folder} has neither a folder nor a .zip of the name {lacking}")
        return folder, there

    def _chosen(self, root: Path | None, test_share: float, files: list[str] | None) -> tuple:
        """Drawings, which of them are for testing, their classes, and the names of the classes."""
        folder, there = self._there(root, files)
        found = {}
        for name in there:
            zipped = folder / f"{name}.zip"
            for drawing in _zipped(zipped) if zipped.is_file() else _unpacked(folder / name):
                found.setdefault((drawing.letter, drawing.drawer), drawing)
        if not found:
            raise DataError(f"{folder} has no ALPHABET/characterNN/NNNN_NN.png in {', '.join(there)}")
        drawings = [found[key] for key in sorted(found)]
        names, y = np.unique([drawing.letter for drawing in drawings], return_inverse=True)
        y = y.astype(np.int64).reshape(-1)
        count = round(test_share * len(y))
        if not 0 < count < len(y):
            raise DataError(f"data.test_share = {test_share}: would hold out {count} of {len(y)} images")
        test = np.zeros(len(y), bool)
        test[stratified(y, count, stream(0, "data", "omniglot", "test"))] = True
        return drawings, test, y, tuple(names.tolist())


def _zipped(file: Path) -> list[Drawing]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise DataError(f"{file} is damaged: {error}") from error
    found = ((name, functools.partial(archive.read, name)) for name in archive.namelist())
    return [Drawing(*shown, f"{file}/{name}", read) for name, read in found if (shown := _shown(name))]


def _unpacked(folder: Path) -> list[Drawing]:
    found = folder.glob(IMAGES)
    return [Drawing(*shown, str(file), file.read_bytes) for file in found if (shown := _shown(file.as_posix()))]


def _shown(path: str) -> tuple[str, int] | None:
    """Letter and drawer, from the path of an image."""
    parts = IMAGE.fullmatch(path)
    return (f"{parts[1]}/{parts[2]}", int(parts[3])) if parts else None


def _image(drawing: Drawing, size: int) -> np.ndarray:
    """(1, size, size) uint8, 255 where there is most ink."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(drawing.read())) as opened:
            grey = opened.convert("L").resize((size, size), Image.Resampling.BILINEAR)
            return 255 - np.asarray(grey)[None]
    except (
        OSError, SyntaxError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise DataError(f"{drawing.path} is not a readable image: {error}") from error


def _holders(drawings: list[Drawing], train: np.ndarray) -> np.ndarray:
    people = [f"{drawing.letter.partition('/')[0]}/{drawing.drawer:02}" for drawing in drawings]
    return numbered(np.array(people)[train])
