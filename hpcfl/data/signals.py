"""Signals from text files, and the scale that networks like them in."""

import warnings
from pathlib import Path

import numpy as np

from hpcfl.errors import DataError


def read_table(file: Path, columns: int, use: tuple[int, ...] | None = None) -> np.ndarray:
    """(lines, columns) float32 of numbers with spaces between them; `use` are the columns to keep, of all there are.

    NaN is a number here. DataError names the file, and the line where it is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file has its own message below
            table = np.loadtxt(file, np.float32, comments=None, usecols=use, ndmin=2)
    except FileNotFoundError:
        raise DataError(f"{file} is missing") from None
    except ValueError as error:
        raise DataError(f"{file} is damaged: {error}") from error
    if table.shape[1] != columns or not len(table):
        raise DataError(f"{file} has {len(table):,} lines of {table.shape[1]} numbers; valid are lines of {columns}")
    return table


def standardise(x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both float32 (N, C, ...), changed in place: each channel with mean 0 and deviation 1 in the training samples."""
    for channel in range(x_train.shape[1]):
        values = x_train[:, channel]
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        for x in (x_train, x_test):
            x[:, channel] -= np.float32(mean)
            x[:, channel] /= np.float32(deviation or 1.0)
    return x_train, x_test
