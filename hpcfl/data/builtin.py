"""Datasets that need no files: scikit-learn's handwritten digits, and synthetic ones of any size."""

import gzip
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.params import COUNT, LENGTHS, REAL, WHOLE
from hpcfl.data.sample import stratified
from hpcfl.data.source import Source
from hpcfl.errors import DataError
from hpcfl.rng import stream


class Digits(Source):
    """scikit-learn's 1,797 handwritten digits (Alpaydin 1998) of 8x8 pixels, 1,437 for training and 360 for testing."""

    def read(self, root: Path | None) -> Dataset:
        table = _digits()
        images = np.rint(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # pixels count from 0 to 16
        y = table[:, -1].astype(np.int64)
        test = np.zeros(len(y), bool)
        test[stratified(y, 360, stream(0, "data", "digits", "test"))] = True
        classes = tuple("0123456789")
        return Dataset(images[~test], y[~test], images[test], y[test], 10, classes, (0.3051,), (0.3758,))


def _digits() -> np.ndarray:
    """(1797, 65): 64 pixels and the label. Importing scikit-learn takes a second, its file a twentieth of that."""
    package = find_spec("sklearn")
    if package is None:
        raise DataError("the digits come with scikit-learn, which is not installed: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        with gzip.open(file, "rt") as lines:
            return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


MOST = 2**48
"""Numbers in an array."""


class Synthetic(Source):
    """Per class a standard-normal prototype; a sample is standard-normal noise plus `signal` times its prototype.

    The classes take turns, so that every stretch of `classes` samples has each of them once.
    """

    def read(
        self,
        root: Path | None,
        *,
        samples: Annotated[int, COUNT] = 6000,
        test_samples: Annotated[int, COUNT] = 1000,
        shape: Annotated[list[int], LENGTHS] = (1, 28, 28),
        classes: Annotated[int, COUNT] = 10,
        signal: Annotated[float, REAL] = 0.7,
        seed: Annotated[int, WHOLE] = 0,
    ) -> Dataset:
        require_room(max(samples, test_samples, classes), shape)
        prototypes = stream(seed, "data", "synthetic", "prototypes").standard_normal((classes, *shape), np.float32)
        arrays = []
        for part, count in (("train", samples), ("test", test_samples)):
            x = stream(seed, "data", "synthetic", part).standard_normal((count, *shape), np.float32)
            for label in range(classes):
                x[label::classes] += np.float32(signal) * prototypes[label]
            arrays += [x, np.arange(count) % classes]
        return Dataset(*arrays, classes, tuple(map(str, range(classes))))

    def labels(self, root: Path | None, *, samples: int, classes: int, **others: object) -> Labels:
        require_room(samples)
        return Labels(np.arange(samples) % classes, classes)


def require_room(count: int, shape: Sequence[int] = ()) -> None:
    """MemoryError for more numbers than any machine has: NumPy would have a ValueError of its own for them."""
    if math.prod((count, *shape)) > MOST:
        raise MemoryError
