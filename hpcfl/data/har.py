"""UCI HAR: what 30 people did, from the accelerometer and the gyroscope of the phone at their waist."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.params import SHARE, choice
from hpcfl.data.sample import held_out, numbered
from hpcfl.data.signals import read_table, standardise
from hpcfl.data.source import Placed
from hpcfl.errors import DataError
from hpcfl.rng import stream

CLASSES = ("walking", "walking upstairs", "walking downstairs", "sitting", "standing", "laying")
SIGNALS = tuple(f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
TEST_SUBJECTS = (2, 4, 9, 10, 12, 13, 18, 20, 24)
COMPACT = "uci_har_float16.npz"


@dataclass(frozen=True)
class UciHar(Placed):
    """Anguita 2013: (9, 128) signals at 50 Hz, body acceleration [g], rotation [rad/s], total acceleration [g].

    Read from the release, train/ and test/ with one text file per signal, or a compact .npz (x float16, y, subject).
    `split = "subjects"` holds out `test_share` of each subject's windows, stratified and always the same ones, so that
    all 30 are clients and tested; windows overlap by half, so that some of a test window was seen in training. With
    "official" the release's nine test subjects are the test set, and 21 are clients. Signals are standardised with the
    moments of the training windows.
    """

    def read(
        self,
        root: Path | None,
        *,
        split: Annotated[str, choice("subjects", "official")] = "subjects",
        test_share: Annotated[float, SHARE] = 0.2,
    ) -> Dataset:
        folder = self._folder(root)
        y, subjects = _facts(folder)
        x, test = _signals(folder), _tested(y, subjects, split, test_share)
        if len(x) != len(y):
            raise DataError(f"{folder} has {len(x):,} windows of signals, but {len(y):,} labels")
        x_train, x_test = standardise(x[~test], x[test])
        holders = numbered(subjects[~test])
        return Dataset(x_train, y[~test], x_test, y[test], len(CLASSES), CLASSES, holders=holders)

    def labels(self, root: Path | None, *, split: str, test_share: float) -> Labels:
        y, subjects = _facts(self._folder(root))
        train = ~_tested(y, subjects, split, test_share)
        return Labels(y[train], len(CLASSES), numbered(subjects[train]))

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        folder = self._folder(root)
        return [*folder.glob("train/**/*.txt"), *folder.glob("test/**/*.txt"), *folder.glob(COMPACT)]

    def _folder(self, root: Path | None) -> Path:
        return self.locate(root, "train/y_train.txt", COMPACT)


def _tested(y: np.ndarray, subjects: np.ndarray, split: str, test_share: float) -> np.ndarray:
    if split == "official":
        return np.isin(subjects, TEST_SUBJECTS)
    return held_out(y, subjects, test_share, stream(0, "data", "uci_har", "test"))


def _facts(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 class and subject of each window."""
    if (folder / COMPACT).is_file():
        y, subjects = _compact(folder, "y", "subject")
    else:
        y, subjects = (_column(folder, name) for name in ("y", "subject"))
        y -= 1
    if y.shape != subjects.shape or y.ndim != 1 or not len(y) or y.min() < 0 or y.max() >= len(CLASSES):
        raise DataError(
            f"{folder} is not UCI HAR: it has the labels {', '.join(map(str, np.unique(y)))} in {y.shape}, and "
            f"subjects in {subjects.shape}"
        )
    return y.astype(np.int64), subjects.astype(np.int64)


def _signals(folder: Path) -> np.ndarray:
    """(N, 9, 128) float32."""
    if not (folder / COMPACT).is_file():
        parts = []
        for part in ("train", "test"):
            files = (folder / part / "Inertial Signals" / f"{signal}_{part}.txt" for signal in SIGNALS)
            parts.append(np.stack([read_table(file, 128) for file in files], 1))
        return np.concatenate(parts)
    (x,) = _compact(folder, "x")
    if x.ndim != 3 or x.shape[1:] != (9, 128):
        raise DataError(f"{folder / COMPACT} is not UCI HAR: x is {x.dtype} {x.shape}, not (N, 9, 128)")
    x = x.astype(np.float32)
    # The copies in circulation hold 128 instants of 9 signals in memory that calls itself 9 signals of 128 instants.
    woven = x.reshape(-1, 128, 9).transpose(0, 2, 1)
    return min((x, np.ascontiguousarray(woven)), key=_unrest)


def _unrest(x: np.ndarray) -> float:
    """How much total minus body acceleration changes from instant to instant: it is gravity, and hardly does."""
    return float(np.abs(np.diff(x[:, 6:] - x[:, :3], axis=2)).mean())


def _column(folder: Path, name: str) -> np.ndarray:
    files = (folder / part / f"{name}_{part}.txt" for part in ("train", "test"))
    return np.concatenate([read_table(file, 1)[:, 0] for file in files]).astype(np.int64)


def _compact(folder: Path, *names: str) -> list[np.ndarray]:
    file = folder / COMPACT
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return [arrays[name].astype(np.int64 if name != "x" else np.float32) for name in names]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise DataError(f"{file} is not a readable .npz with x, y and subject: {error}") from error
