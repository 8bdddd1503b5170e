"""Datasets of one's own: four arrays, from a .npz file or a Python function."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.data.dataset import Dataset, Labels, check_labels, moments
from hpcfl.data.params import TEXT
from hpcfl.data.source import Source
from hpcfl.errors import DataError, HpcflError

NAMES = ("x_train", "y_train", "x_test", "y_test")


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Dataset:
    """The dataset of x_train, y_train, x_test and y_test; DataError where they are not these:

    uint8 samples are images, (N, H, W), (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels (axis 1 is asked first),
    and are normalised by their own mean and deviation; float samples have any shape and are taken as they are, in
    float32 (images among them must be (N, C, H, W)). Labels are whole numbers from 0, one per sample. A fifth array,
    holders, MAY say whom each training sample comes from, likewise. With a single number `tokens`, the size of an
    alphabet, samples are text: whole numbers (N, L) from 0 to tokens - 1.
    """
    if absent := [name for name in NAMES if name not in arrays]:
        raise DataError(f"no {', '.join(absent)} among its arrays ({', '.join(arrays) or 'none'}); all four are needed")
    y_train, y_test, classes = _labels(arrays)
    tokens = _tokens(arrays)
    x_train, x_test = (_samples(np.asarray(arrays[name]), name, tokens) for name in ("x_train", "x_test"))
    mean, std = moments(x_train) if x_train.dtype == np.uint8 and x_train.size else ((), ())
    names = tuple(map(str, range(classes)))
    return Dataset(x_train, y_train, x_test, y_test, classes, names, mean, std, _holders(arrays), tokens)


def _tokens(arrays: Mapping[str, np.ndarray]) -> int:
    tokens = np.asarray(arrays.get("tokens", 0))
    if tokens.dtype.kind not in "iu" or tokens.ndim or tokens < 0:
        raise DataError(f"tokens is {tokens.dtype} {tokens.shape}; valid is one whole number, the alphabet's size")
    return int(tokens)


def _labels(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    y_train, y_test = (np.asarray(arrays[name]) for name in ("y_train", "y_test"))
    for name, y in (("y_train", y_train), ("y_test", y_test)):
        if y.dtype.kind not in "iu" or y.ndim != 1 or not len(y):
            raise DataError(f"{name} is {y.dtype} {y.shape}; valid is one whole number per sample, (N,)")
    classes = int(max(y_train.max(), y_test.max())) + 1
    if classes > len(y_train) + len(y_test):
        raise DataError(f"the largest label is {classes - 1:,}; number the classes 0, 1, 2, ... without gaps")
    y_train, y_test = y_train.astype(np.int64), y_test.astype(np.int64)
    check_labels(y_train, classes, "y_train")
    check_labels(y_test, classes, "y_test")
    return y_train, y_test, classes


def _holders(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "holders" not in arrays:
        return None
    holders = np.asarray(arrays["holders"])
    return holders.astype(np.int64) if holders.dtype.kind in "iu" else holders


def _samples(x: np.ndarray, name: str, tokens: int) -> np.ndarray:
    if tokens and x.dtype.kind in "iu":
        return x.astype(np.int64, order="C", copy=False)
    if x.dtype.kind == "f":
        return x.astype(np.float32, order="C", copy=False)
    if x.dtype != np.uint8:
        raise DataError(f"{name} is {x.dtype}; valid are uint8 images and floats")
    if x.ndim == 3:
        return np.ascontiguousarray(x[:, None])
    if x.ndim == 4 and x.shape[1] in (1, 3, 4):
        return np.ascontiguousarray(x)
    if x.ndim == 4 and x.shape[3] in (1, 3, 4):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    raise DataError(
        f"{name} is uint8 {x.shape}; valid are images, (N, H, W), (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 "
        "channels. Samples that are not images are stored as float32"
    )


class Npz(Source):
    """A .npz file with x_train, y_train, x_test, y_test, as `from_arrays` describes them."""

    def read(self, root: Path | None, *, path: Annotated[str, TEXT]) -> Dataset:
        return self._open(root, path, from_arrays)

    def labels(self, root: Path | None, *, path: str) -> Labels:
        def only(arrays: Mapping[str, np.ndarray]) -> Labels:
            if absent := [name for name in ("y_train", "y_test") if name not in arrays]:
                raise DataError(f"no {', '.join(absent)} among its arrays ({', '.join(arrays) or 'none'})")
            y_train, _, classes = _labels(arrays)
            return Labels(y_train, classes, _holders(arrays))

        return self._open(root, path, only)

    def origin(self, root: Path | None, *, path: str) -> list[Path]:
        return [file for file in [under(root, path)] if file.is_file()]

    def _open(self, root: Path | None, path: str, use: Callable[[Mapping[str, np.ndarray]], Any]) -> Any:
        file = under(root, path)
        if not file.is_file():
            raise DataError(not_there(root, path, file, "file"))
        try:
            # allow_pickle=False: a file of data must not be able to run code.
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise DataError(f"is a single array; valid is a .npz with {', '.join(NAMES)}")
            with arrays:
                return use(arrays)
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise DataError(f"{file} is not a readable .npz: {error}") from error


@dataclass(frozen=True)
class Called(Source):
    """What a function returns: a Dataset, or a dict of the four arrays."""

    function: Callable[..., Dataset | Mapping[str, np.ndarray]]

    def read(self, root: Path | None, **params: Any) -> Dataset:
        try:
            made = self.function(**params)
        except HpcflError:
            raise
        except Exception as error:  # the user's own code: its traceback stays attached
            raise DataError(f"it raised {type(error).__name__}: {error}") from error
        if isinstance(made, Dataset):
            return made
        if isinstance(made, Mapping):
            return from_arrays(made)
        raise DataError(f"it returned {type(made).__name__}; valid are a Dataset and a dict of {', '.join(NAMES)}")


def under(root: Path | None, path: str) -> Path:
    """`path` itself if it is absolute, else relative to the data root or, without one, to the working directory."""
    given = Path(path).expanduser()
    return given if root is None else root / given


def not_there(root: Path | None, path: str, tried: Path, what: str) -> str:
    """The sentence for a path in the job file where nothing is."""
    base = "the working directory, as no data root is given" if root is None else f"the data root {root}"
    relative = "" if Path(path).expanduser().is_absolute() else f"; a relative path counts from {base}"
    return f"data.path = {path!r}: there is no {what} {tried.absolute()}{relative}. Correct it, or set data.root"
