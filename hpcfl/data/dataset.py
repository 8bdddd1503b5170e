"""A dataset: training and test samples with their labels, checked once and then trusted by everyone."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hpcfl.errors import DataError


class Labels(NamedTuple):
    """What a partition may know of the training samples."""

    y: np.ndarray
    """(N,) int64: the class of each."""
    classes: int
    holders: np.ndarray | None = None
    """(N,) int64: the natural holder of each, as `Dataset.holders`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels in memory; DataError where they do not fit together.

    Images are uint8 (N, C, H, W) in 0..255 and carry the mean and standard deviation to normalise them with, once they
    are divided by 255. Text is int64 or uint8 (N, L), places in an alphabet of `tokens` characters. Everything else is
    float32 (N, ...). Text and floats are taken as they are: `mean` and `std` are empty then.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    """(N,) int64: the class of each training sample, 0 to classes - 1."""
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    labels: tuple[str, ...]
    """What the classes are called, `classes` of them."""
    mean: tuple[float, ...] = ()
    """Per channel, of the training images divided by 255."""
    std: tuple[float, ...] = ()
    """Per channel, as `mean`."""
    holders: np.ndarray | None = None
    """(N,) int64: whom each training sample comes from (a writer, a speaker, a subject), numbered from 0 without gaps;
    None where nobody is known. The partition `natural` makes each of them a client."""
    tokens: int = 0
    """Size of the alphabet of samples that are text, whose values are 0 to tokens - 1; 0 for all others."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W) for images."""
        return self.x_train.shape[1:]

    def __post_init__(self) -> None:
        if len(self.labels) != self.classes:
            raise DataError(f"{self.classes} classes, but {len(self.labels)} names for them")
        for part, x, y in (("train", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            check_labels(y, self.classes, f"y_{part}")
            if len(x) != len(y):
                raise DataError(f"x_{part} has {len(x):,} samples, but y_{part} has {len(y):,} labels")
            if x.ndim < 2:
                raise DataError(f"x_{part} has the shape {x.shape}; valid is (samples, ...) with at least two axes")
            if x.size == 0:
                raise DataError(f"x_{part} has the shape {x.shape}: samples without a value")
            if x.dtype not in ((np.int64, np.uint8) if self.tokens else (np.uint8, np.float32)):
                valid = f"int64 and uint8, as tokens = {self.tokens}" if self.tokens else "uint8 (images) and float32"
                raise DataError(f"x_{part} is {x.dtype}; valid are {valid}")
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.x_train.dtype != self.x_test.dtype:
            train, test = (f"{x.dtype} {x.shape[1:]}" for x in (self.x_train, self.x_test))
            raise DataError(f"training samples are {train}, but test samples are {test}; they must agree")
        if self.holders is not None:
            check_holders(self.holders, len(self.y_train))
        self._check_values()

    def _check_values(self) -> None:
        if (self.x_train.dtype != np.uint8 or self.tokens) and (self.mean or self.std):
            raise DataError(f"mean and std are given for {self.x_train.dtype} samples, which are taken as they are")
        if self.tokens:
            for part, x in (("train", self.x_train), ("test", self.x_test)):
                if x.ndim != 2 or x.min() < 0 or x.max() >= self.tokens:
                    raise DataError(
                        f"x_{part} is {x.shape} with tokens from {x.min()} to {x.max()}; valid are sequences (N, L) of "
                        f"0 to {self.tokens - 1}"
                    )
            return
        if self.x_train.dtype == np.float32:
            for part, x in (("train", self.x_train), ("test", self.x_test)):
                # One sum meets every NaN and infinity, and takes no memory; float64 cannot overflow here.
                if not np.isfinite(np.sum(x, dtype=np.float64)):
                    raise DataError(f"x_{part} contains NaN or infinite values")
            return
        if self.x_train.ndim != 4:
            raise DataError(f"uint8 samples are {self.shape}, but images are (channels, height, width)")
        if not len(self.mean) == len(self.std) == self.shape[0]:
            raise DataError(f"{self.shape[0]} channels, but {len(self.mean)} means and {len(self.std)} deviations")
        if not all(value > 0 for value in self.std):
            raise DataError(f"std = {self.std}: must be greater than 0")


def check_labels(y: np.ndarray, classes: int, what: str) -> None:
    """DataError unless `y` is a non-empty (N,) int64 with values from 0 to classes - 1."""
    if y.ndim != 1 or y.dtype != np.int64:
        raise DataError(f"{what} is {y.dtype} {y.shape}; valid is one int64 per sample")
    if len(y) == 0:
        raise DataError(f"{what} is empty")
    if y.min() < 0 or y.max() >= classes:
        raise DataError(f"{what} has labels from {y.min()} to {y.max()}; valid are 0 to {classes - 1}")


def check_holders(holders: np.ndarray, samples: int) -> None:
    """DataError unless `holders` is a (samples,) int64 in which every number from 0 to the largest occurs."""
    if holders.shape != (samples,) or holders.dtype != np.int64:
        raise DataError(f"holders is {holders.dtype} {holders.shape}; valid is one int64 per training sample")
    if holders.min() < 0 or not np.bincount(holders).all():
        raise DataError("holders has gaps or negative numbers; number them 0, 1, 2, ...")


def moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 (N, C, H, W), of the values divided by 255.

    A channel that is constant has no deviation to divide by: 1 is reported for it.
    """
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), 1024):  # bincount widens its input to int64: eight times the images
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + 1024, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(1)
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / counts.sum(1))
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
