"""SVHN's cropped digits, from its two MATLAB files."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.source import Published
from hpcfl.errors import DataError

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class Svhn(Published):
    """Netzer 2011: house numbers; the digit 0, which the files call 10, is class 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def files(self) -> tuple[str, ...]:
        return "train_32x32.mat", "test_32x32.mat"

    def download(self, datasets: ModuleType, root: Path) -> None:
        for split in ("train", "test"):
            datasets.SVHN(str(root / self.folders[0]), split=split, download=True)

    def read(self, root: Path | None) -> Dataset:
        train, test = self.paths(root)
        y_train, y_test = _labels(train), _labels(test)
        return Dataset(_images(train), y_train, _images(test), y_test, len(CLASSES), CLASSES, self.mean, self.std)

    def labels(self, root: Path | None) -> Labels:
        return Labels(_labels(self.paths(root)[0]), len(CLASSES))


def _images(path: Path) -> np.ndarray:
    x = _variable(path, "X")
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != (32, 32, 3):
        raise DataError(f"{path} is not SVHN: X is {x.dtype} {x.shape}, not uint8 (32, 32, 3, N)")
    return np.ascontiguousarray(x.transpose(3, 2, 0, 1))


def _labels(path: Path) -> np.ndarray:
    y = _variable(path, "y").reshape(-1)
    if y.dtype.kind not in "iuf" or not np.isin(y, np.arange(1, 11)).all():
        raise DataError(f"{path} is not SVHN: y is not whole numbers from 1 to 10")
    return y.astype(np.int64) % 10


def _variable(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(path, variable_names=[name])
    except Exception as error:  # a damaged file can raise almost anything in SciPy's reader
        raise DataError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if name not in found:
        raise DataError(f"{path} is not SVHN: it has no {name}")
    return found[name]
