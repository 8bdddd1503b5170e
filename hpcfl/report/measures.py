"""What is measured of a run: its accuracy at the end and at best, the area under its curve, and what a target cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpcfl.errors import ResultError
from hpcfl.report.runs import Run

__all__ = [
    "AXES",
    "CURVES",
    "MEASURES",
    "Goal",
    "Measure",
    "area",
    "best",
    "cost",
    "final",
    "goal",
    "reached",
    "spread",
]

CURVES = {"global": ("accuracy", "the global model"), "own": ("client_accuracy", "the clients' own models")}
"""Whose accuracy is followed -> its column in /rounds, and in words."""

AXES: dict[str, Callable[[Run], np.ndarray]] = {
    "rounds": lambda run: run.rounds["step"].astype(float),
    "time": lambda run: run.rounds["time"],
    "wall": lambda run: run.rounds["wall"],
    "bytes": lambda run: np.cumsum(run.rounds["client_bytes_up"] + run.rounds["client_bytes_down"], dtype=float),
}
"""What an accuracy is paid with: server steps, the job's clock [s], real time [s], what clients send and get [B]."""


@dataclass(frozen=True)
class Goal:
    """What a run's measures refer to."""

    of: str
    """A key of CURVES."""
    target: float
    """The accuracy to reach."""
    over: str = "rounds"
    """The axis, a key of AXES, under whose curve the area lies."""
    span: tuple[float, float] = (np.nan, np.nan)
    """Where on it the area begins and ends."""


def goal(runs: Sequence[Run], target: float | None = None, of: str | None = None, over: str = "rounds") -> Goal:
    """The goal that the runs share: by default the best accuracy that all reach, of the global model where all have it.

    The area spans what was evaluated in all runs. ResultError if they have no kind of accuracy in common.
    """
    of = require_accuracies(runs, of)
    found = Goal(of, target if target is not None else min(best(run, of)[0] for run in runs), over)
    ends = [axis[[0, -1]] for axis, _ in (_curve(run, found) for run in runs)]
    return replace(found, span=(max(low for low, _ in ends), min(high for _, high in ends)))


def require_accuracies(runs: Sequence[Run], of: str | None) -> str:
    """A kind of accuracy (`of`, if given) that every run has been evaluated in."""
    for kind in (of,) if of else CURVES:
        if all(len(_evaluated(run, kind)) for run in runs):
            return kind
    whose = {kind: [run for run in runs if len(_evaluated(run, kind))] for kind in CURVES}
    lines = []
    for run in runs:
        has = [words for kind, (_, words) in CURVES.items() if run in whose[kind]]
        lines.append(f"  {run.path} has {'that of ' + ' and of '.join(has) if has else 'none: it was never evaluated'}")
    what = f"not all have the accuracy of {CURVES[of][1]}" if of else "they have no kind of accuracy in common"
    raise ResultError("\n".join([f"the runs cannot be compared: {what}", *lines]))


def final(run: Run, of: str) -> float:
    """The last accuracy."""
    return float(run.rounds[CURVES[of][0]][_evaluated(run, of)[-1]])


def best(run: Run, of: str) -> tuple[float, int]:
    """The best accuracy, and the row of its first occurrence."""
    accuracy, rows = run.rounds[CURVES[of][0]], _evaluated(run, of)
    row = rows[accuracy[rows].argmax()]
    return float(accuracy[row]), int(row)


def reached(run: Run, aim: Goal) -> int | None:
    """The first row in which the accuracy is the target, or above it."""
    rows = _evaluated(run, aim.of)
    above = rows[run.rounds[CURVES[aim.of][0]][rows] >= aim.target]
    return int(above[0]) if len(above) else None


def area(run: Run, aim: Goal) -> float:
    """The area under the curve, divided by the span: the mean accuracy on the way; NaN if the span is empty.

    Between two evaluations the curve is a straight line (the trapezoidal rule).
    """
    (low, high), (axis, accuracy) = aim.span, _curve(run, aim)
    if not low < high:
        return np.nan
    inside = (axis > low) & (axis < high)
    x = np.concatenate(([low], axis[inside], [high]))
    y = np.concatenate(([np.interp(low, axis, accuracy)], accuracy[inside], [np.interp(high, axis, accuracy)]))
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (high - low))


def cost(run: Run, aim: Goal, axis: str) -> float:
    """What the target cost on an axis; NaN if the run did not reach it."""
    row = reached(run, aim)
    return np.nan if row is None else float(AXES[axis](run)[row])


def spread(run: Run) -> dict[str, float]:
    """Of the clients' own models at the end: mean, standard deviation (over N), lowest decile, least and most."""
    known = run.own[~np.isnan(run.own)]
    if not len(known):
        return dict.fromkeys(("mean", "std", "low", "min", "max"), np.nan)
    return {
        "mean": float(known.mean()),
        "std": float(known.std()),
        "low": float(np.quantile(known, 0.1)),
        "min": float(known.min()),
        "max": float(known.max()),
    }


@dataclass(frozen=True)
class Measure:
    """A number of a run, and how it is written."""

    title: str
    unit: str
    scale: float
    """From the number to its unit: 100 to percent."""
    digits: int
    high: bool
    """Whether more is better."""
    take: Callable[[Run, Goal], float]

    @property
    def heading(self) -> str:
        return f"{self.title} [{self.unit}]" if self.unit else self.title


MEASURES = {
    "accuracy": Measure("accuracy", "%", 100, 1, True, lambda run, aim: final(run, aim.of)),
    "best": Measure("best accuracy", "%", 100, 1, True, lambda run, aim: best(run, aim.of)[0]),
    "area": Measure("mean accuracy on the way", "%", 100, 1, True, area),
    "loss": Measure("loss", "", 1, 4, False, lambda run, aim: _last(run.rounds["loss"])),
    "rounds": Measure("rounds", "", 1, 1, False, lambda run, aim: cost(run, aim, "rounds")),
    "time": Measure("time", "s", 1, 1, False, lambda run, aim: cost(run, aim, "time")),
    "wall": Measure("wall", "s", 1, 1, False, lambda run, aim: cost(run, aim, "wall")),
    "bytes": Measure("traffic", "MB", 1e-6, 1, False, lambda run, aim: cost(run, aim, "bytes")),
    "own": Measure("clients' own", "%", 100, 1, True, lambda run, aim: spread(run)["mean"]),
    "own_low": Measure("lowest decile", "%", 100, 1, True, lambda run, aim: spread(run)["low"]),
    "own_std": Measure("spread of clients", "%", 100, 1, False, lambda run, aim: spread(run)["std"]),
}
"""Those from `rounds` to `bytes` are to the target; the last three need clients that keep samples back."""


def _evaluated(run: Run, of: str) -> np.ndarray:
    """Rows with an accuracy."""
    return np.flatnonzero(~np.isnan(run.rounds[CURVES[of][0]]))


def _curve(run: Run, aim: Goal) -> tuple[np.ndarray, np.ndarray]:
    rows = _evaluated(run, aim.of)
    return AXES[aim.over](run)[rows], run.rounds[CURVES[aim.of][0]][rows]


def _last(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else np.nan
