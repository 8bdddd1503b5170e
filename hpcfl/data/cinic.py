"""CINIC-10: CIFAR-10's classes with images of ImageNet beside them, in image folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfl.data.cifar import CIFAR10
from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.folder import classes_of, listed, read_images
from hpcfl.data.source import Placed
from hpcfl.errors import DataError

TRAIN, TEST = ("train", "valid"), "test"


@dataclass(frozen=True)
class Cinic10(Placed):
    """Darlow 2018: {train, valid, test}/CLASS/*.png of 32x32, 90,000 each; train and valid are the training set."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def read(self, root: Path | None) -> Dataset:
        (train, y_train), (test, y_test) = (self._listed(root, *parts) for parts in (TRAIN, (TEST,)))
        x_train, x_test = (read_images(files, 32) for files in (train, test))
        return Dataset(x_train, y_train, x_test, y_test, len(CIFAR10), CIFAR10, self.mean, self.std)

    def labels(self, root: Path | None) -> Labels:
        return Labels(self._listed(root, *TRAIN)[1], len(CIFAR10))

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        """The folders: looking at 270,000 files takes longer than reading what the cache has of them."""
        folder = self._folder(root)
        return [folder / part / name for part in (*TRAIN, TEST) for name in CIFAR10]

    def _listed(self, root: Path | None, *parts: str) -> tuple[list[Path], np.ndarray]:
        """Files and labels of all parts."""
        folder = self._folder(root)
        for part in parts:
            if (found := classes_of(folder / part)) != CIFAR10:
                raise DataError(f"{folder / part} has the classes {', '.join(found)}; valid are {', '.join(CIFAR10)}")
        lists = [listed(folder / part, CIFAR10) for part in parts]
        return [file for files, _ in lists for file in files], np.concatenate([labels for _, labels in lists])

    def _folder(self, root: Path | None) -> Path:
        for folder in self._places(root):
            if all((folder / part).is_dir() for part in (*TRAIN, TEST)):
                return folder
        raise self.missing(root, (*TRAIN, TEST))
