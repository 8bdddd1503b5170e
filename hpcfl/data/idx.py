"""MNIST and its family, from idx files, plain or gzipped."""

import gzip
import math
import string
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np

from hpcfl.data.dataset import Dataset, Labels, moments
from hpcfl.data.params import choice
from hpcfl.data.source import Published
from hpcfl.errors import DataError


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The uint8 array with `axes` axes in an idx file, writable; DataError, naming the file, where it is damaged."""
    header = 4 + 4 * axes
    zipped = path.suffix == ".gz"
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            head = file.read(header)
            if len(head) < header or head[:4] != bytes((0, 0, 8, axes)):
                raise DataError(
                    f"{path} is not an idx file of {axes}-d bytes: it begins with {head[:4].hex(' ') or 'nothing'}, "
                    f"not {bytes((0, 0, 8, axes)).hex(' ')}"
                )
            shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, header, 4))
            # Asked before the memory is: deflate cannot compress more than 1032 to 1.
            room = path.stat().st_size * (1032 if zipped else 1)
            if math.prod(shape) > room - (0 if zipped else header):
                raise DataError(f"{path} is cut short: {shape} bytes are announced, and the file is too small for them")
            array = np.empty(shape, np.uint8)
            got = _fill(file, memoryview(array.reshape(-1)))
            if got < array.size or file.read(1):
                more = "more" if got == array.size else f"only {got:,}"
                raise DataError(f"{path} is damaged: {shape} means {array.size:,} bytes, but it has {more}")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    return array


def _fill(file, view: memoryview) -> int:
    done = 0
    while done < len(view) and (count := file.readinto(view[done : done + (1 << 24)])):
        done += count
    return done


@dataclass(frozen=True)
class Idx(Published):
    """A dataset of the size and names of MNIST: four idx files."""

    torchvision: str
    """Its class in torchvision.datasets."""
    classes: tuple[str, ...]
    mean: float
    std: float
    opening: tuple[int, ...]
    """The first training labels as published. Other datasets use the very same file names."""

    def files(self) -> tuple[str, ...]:
        return tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

    def download(self, datasets: ModuleType, root: Path) -> None:
        getattr(datasets, self.torchvision)(str(root), download=True)

    def read(self, root: Path | None) -> Dataset:
        x_train, y_train, x_test, y_test = _arrays(self.paths(root))
        self._check_opening(y_train)
        mean, std = (self.mean,), (self.std,)
        return Dataset(x_train, y_train, x_test, y_test, len(self.classes), self.classes, mean, std)

    def labels(self, root: Path | None) -> Labels:
        y_train = _labels(self.paths(root)[1])
        self._check_opening(y_train)
        return Labels(y_train, len(self.classes))

    def _check_opening(self, y_train: np.ndarray) -> None:
        if len(y_train) == 60_000 and tuple(y_train[: len(self.opening)]) != self.opening:
            found = ", ".join(map(str, y_train[: len(self.opening)]))
            raise DataError(
                f"the files found are not {self.title}: their first labels are {found}, not "
                f"{', '.join(map(str, self.opening))}. Other datasets use the same file names; put {self.title} into "
                f"{self.folders[0]} under the data root"
            )


_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
_SPLITS = {
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "bymerge": _MERGED,
    "balanced": _MERGED,
    "letters": string.ascii_lowercase,
    "digits": string.digits,
    "mnist": string.digits,
}


@dataclass(frozen=True)
class Emnist(Published):
    """EMNIST in its six splits; the images, which are distributed lying on their side, stand upright."""

    def files(self, split: str) -> tuple[str, ...]:
        parts = (f"emnist-{split}-{part}" for part in ("train", "test"))
        return tuple(f"{part}-{kind}-ubyte" for part in parts for kind in ("images-idx3", "labels-idx1"))

    def download(self, datasets: ModuleType, root: Path, split: str) -> None:
        datasets.EMNIST(str(root), split=split, download=True)

    def read(self, root: Path | None, *, split: Annotated[str, choice(*_SPLITS)] = "balanced") -> Dataset:
        x_train, y_train, x_test, y_test = _arrays(self.paths(root, split=split))
        for images in (x_train, x_test):
            for start in range(0, len(images), 4096):  # in place, since byclass has half a gigabyte of them
                part = images[start : start + 4096]
                part[:] = part.transpose(0, 1, 3, 2).copy()
        first = _first(split)
        labels = tuple(_SPLITS[split])
        return Dataset(x_train, y_train - first, x_test, y_test - first, len(labels), labels, *moments(x_train))

    def labels(self, root: Path | None, *, split: str) -> Labels:
        return Labels(_labels(self.paths(root, split=split)[1]) - _first(split), len(_SPLITS[split]))


def _first(split: str) -> int:
    return 1 if split == "letters" else 0  # its labels count from 1, those of the others from 0


def _labels(path: Path) -> np.ndarray:
    return read_idx(path, 1).astype(np.int64)


def _arrays(paths: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    images, labels, test_images, test_labels = paths
    return _images(images), _labels(labels), _images(test_images), _labels(test_labels)


def _images(path: Path) -> np.ndarray:
    images = read_idx(path, 3)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{path} has images of {images.shape[1:]} pixels, not (28, 28)")
    return images[:, None]
