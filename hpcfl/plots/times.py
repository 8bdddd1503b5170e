"""Where the real time goes: stacked bars of a run's rounds, or of the mean round of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.errors import ResultError
from hpcfl.plots.series import series
from hpcfl.plots.style import COLOURS, in_seconds, legend, name_rows, whole
from hpcfl.plots.tables import Run, many, table, within

__all__ = ["PARTS", "spent", "times"]

PARTS = ("training", "communicating", "aggregating", "evaluating")
MOST_BARS = 60
"""Rounds drawn one by one; of more, each bar is the mean of several."""


def times(
    runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = (), rounds: tuple[int, int] | None = None
) -> None:
    """Seconds per round of each part; of one run also the real time from round to round, as a line.

    Evaluation goes on while others train, so that the parts may add up to more than the line. ResultError where a run
    has no rounds between the first and the last of `rounds`.
    """
    runs = many(runs)
    if len(runs) == 1:
        _by_round(runs[0], axes, rounds)
    else:
        _by_series(runs, axes, labels, rounds)
    legend(axes)


def spent(run: Run, rounds: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R,) steps, (R, parts) seconds of each part, and (R,) real seconds since the round before."""
    found = table(run, "rounds")
    step = found["step"]
    kept = within(step, rounds)
    if not kept.any():
        raise ResultError(f"{run.path} has no rounds {rounds[0]} to {rounds[1]}; it has {step[0]} to {step[-1]}")
    parts = np.stack([np.nan_to_num(found[part]) for part in PARTS], 1)
    wall = np.diff(found["wall"], prepend=0)
    if not parts.any():
        raise ResultError(f"{run.path} does not say where its time went")
    return step[kept], parts[kept], wall[kept]


def _by_round(run: Run, axes: Axes, rounds: tuple[int, int] | None) -> None:
    step, parts, wall = spent(run, rounds)
    each = int(np.ceil(len(step) / MOST_BARS))
    starts = np.arange(0, len(step), each)
    sizes = np.diff(starts, append=len(step))
    places = np.add.reduceat(step, starts) / sizes
    means = np.add.reduceat(parts, starts) / sizes[:, None]
    bottom = np.zeros(len(places))
    for part, colour, seconds in zip(PARTS, COLOURS, means.T):
        axes.bar(places, seconds, each * 0.9, bottom=bottom, color=colour, linewidth=0, label=part)
        bottom = bottom + seconds
    walls = np.add.reduceat(wall, starts) / sizes
    axes.plot(places, walls, color="black", linewidth=0.8, marker=".", markersize=2, label="wall")
    axes.set_xlabel(f"round{f' (means of {each})' if each > 1 else ''}")
    whole(axes.xaxis)
    axes.margins(x=0.01)
    most = max(bottom.max(), walls.max())
    axes.set_ylim(0, 1.05 * most)
    _unit(axes.yaxis, most)


def _by_series(runs: list[Run], axes: Axes, labels: Sequence[str], rounds: tuple[int, int] | None) -> None:
    found = series(runs, labels)
    means = np.stack([np.mean([spent(run, rounds)[1].mean(0) for run in one.runs], 0) for one in found])
    left = np.zeros(len(found))
    for part, colour, seconds in zip(PARTS, COLOURS, means.T):
        axes.barh(range(len(found)), seconds, 0.6, left=left, color=colour, linewidth=0, label=part)
        left = left + seconds
    name_rows(axes, [one.legend for one in found])
    axes.set_xlim(0, 1.05 * left.max())
    _unit(axes.xaxis, left.max())


def _unit(axis: object, most: float) -> None:
    if most < 0.2:
        axis.set_label_text("real time per round [ms]")
        axis.set_major_formatter(lambda value, _: f"{1000 * value:g}")
    else:
        in_seconds(axis, most, "real time per round")
