"""Where the real time goes: stacked bars of a run's rounds, or of the mean round of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.analysis.quantities import PARTS, binned, spent
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import Run, many
from hpcfl.plots.style import COLOURS, in_seconds, legend, name_rows, whole

__all__ = ["times"]


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


def _by_round(run: Run, axes: Axes, rounds: tuple[int, int] | None) -> None:
    step, parts, wall = spent(run, rounds)
    each, (places, means, walls) = binned(step, parts, wall)
    bottom = np.zeros(len(places))
    for part, colour, seconds in zip(PARTS, COLOURS, means.T):
        axes.bar(places, seconds, each * 0.9, bottom=bottom, color=colour, linewidth=0, label=part)
        bottom = bottom + seconds
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
