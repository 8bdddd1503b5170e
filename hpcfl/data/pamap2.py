"""PAMAP2: twelve physical activities of nine people, from sensors at wrist, chest and ankle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.params import COUNT, SHARE
from hpcfl.data.sample import numbered
from hpcfl.data.signals import read_table, standardise
from hpcfl.data.source import Placed
from hpcfl.errors import DataError

ACTIVITIES = {
    1: "lying", 2: "sitting", 3: "standing", 4: "walking", 5: "running", 6: "cycling", 7: "Nordic walking",
    12: "ascending stairs", 13: "descending stairs", 16: "vacuum cleaning", 17: "ironing", 24: "rope jumping",
}  # fmt: skip
"""The protocol's activities by their number in the files; 0 is the time between two of them."""
COLUMNS = 54
CHANNELS = tuple(unit + at for unit in (3, 20, 37) for at in (1, 2, 3, 7, 8, 9, 10, 11, 12))
"""Of each of the three units, which begin with the temperature: acceleration within 16 g, rotation, magnetic field."""
FILES = "subject10[1-9].dat"


@dataclass(frozen=True)
class Pamap2(Placed):
    """Reiss 2012: (27, window) signals at 100 Hz, acceleration [m/s2], rotation [rad/s] and magnetic field [uT] thrice.

    Windows of `window` instants (1.71 s) begin every `step` of them (half of that) within a bout of one activity; the
    time between activities is left out. Missing values are interpolated linearly over time. The last `test_share` of
    each bout's windows are for testing, and training windows that reach into them are dropped: no instant is in both.
    Signals are standardised with the moments of the training windows. The clients are the subjects.
    """

    def read(
        self,
        root: Path | None,
        *,
        window: Annotated[int, COUNT] = 171,
        step: Annotated[int, COUNT] = 85,
        test_share: Annotated[float, SHARE] = 0.2,
    ) -> Dataset:
        samples: tuple[list, list] = ([], [])
        labels: tuple[list, list] = ([], [])
        subjects = []
        for number, file in enumerate(self._files(root)):
            table = read_table(file, 1 + len(CHANNELS), (1, *CHANNELS))
            bouts = _bouts(table[:, 0], file)
            signals = _mended(table[:, 1:], file)
            for part, (starts, y) in enumerate(_windows(bouts, window, step, test_share)):
                samples[part].append(_cut(signals, starts, window))
                labels[part].append(y)
            subjects.append(np.full(len(labels[0][-1]), number))
        y_train, y_test, holders = (np.concatenate(each) for each in (*labels, subjects))
        _check(y_train, y_test, window)
        x_train = np.concatenate(samples[0])
        samples[0].clear()
        x_train, x_test = standardise(x_train, np.concatenate(samples[1]))
        names = tuple(ACTIVITIES.values())
        return Dataset(x_train, y_train, x_test, y_test, len(names), names, holders=numbered(holders))

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        return self._files(root)

    def labels(self, root: Path | None, *, window: int, step: int, test_share: float) -> Labels:
        parts = []
        for file in self._files(root):
            bouts = _bouts(read_table(file, 1, (1,))[:, 0], file)
            parts.append([y for _, y in _windows(bouts, window, step, test_share)])
        y_train, y_test = (np.concatenate(each) for each in zip(*parts))
        _check(y_train, y_test, window)
        subjects = np.repeat(np.arange(len(parts)), [len(train) for train, _ in parts])
        return Labels(y_train, len(ACTIVITIES), numbered(subjects))

    def _files(self, root: Path | None) -> list[Path]:
        return sorted(self.locate(root, FILES).glob(FILES))


def _bouts(activity: np.ndarray, file: Path) -> list[tuple[int, int, int]]:
    """(begin, end, class) of each stretch of one activity of the protocol."""
    if strange := np.setdiff1d(activity, [0, *ACTIVITIES]).tolist():
        raise DataError(f"{file} is not of PAMAP2's protocol: activity {strange[0]:g} in its second column")
    edges = np.concatenate([[0], np.flatnonzero(np.diff(activity)) + 1, [len(activity)]])
    classes = {number: at for at, number in enumerate(ACTIVITIES)}
    return [(begin, end, classes[activity[begin]]) for begin, end in zip(edges, edges[1:]) if activity[begin]]


def _windows(bouts: list, window: int, step: int, test_share: float) -> tuple[tuple, tuple]:
    """(starts, classes) of the training and of the test windows, both int64 (windows,)."""
    train: tuple[list, list] = ([], [])
    test: tuple[list, list] = ([], [])
    for begin, end, label in bouts:
        starts = np.arange(begin, end - window + 1, step)
        kept = len(starts) - round(test_share * len(starts))
        limit = starts[kept] if kept < len(starts) else end
        for (places, classes), chosen in ((train, starts[starts + window <= limit]), (test, starts[kept:])):
            places.append(chosen)
            classes.append(np.full(len(chosen), label))
    none = [np.empty(0, np.int64)]
    return tuple(tuple(np.concatenate([*none, *each]) for each in part) for part in (train, test))


def _cut(signals: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """(windows, channels, window) of signals (instants, channels)."""
    return np.ascontiguousarray(signals[starts[:, None] + np.arange(window)].transpose(0, 2, 1))


def _mended(signals: np.ndarray, file: Path) -> np.ndarray:
    """The signals, in place: what is missing is on the line between its neighbours, or like the nearest at the ends."""
    times = np.arange(len(signals))
    for channel in range(signals.shape[1]):
        values = signals[:, channel]
        known = ~np.isnan(values)
        if not known.any():
            raise DataError(f"{file} has no value at all in column {CHANNELS[channel] + 1}")
        values[~known] = np.interp(times[~known], times[known], values[known])
    return signals


def _check(y_train: np.ndarray, y_test: np.ndarray, window: int) -> None:
    if not len(y_train) or not len(y_test):
        raise DataError(
            f"data.window = {window}: gives {len(y_train)} training and {len(y_test)} test windows; the files are at "
            "100 instants a second, and a bout must be longer than several windows"
        )
