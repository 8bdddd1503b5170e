"""How many server steps the updates were behind: a histogram for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.analysis.quantities import behind, shares
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import Run, many
from hpcfl.plots.style import COLOURS, legend, percent, whole

__all__ = ["staleness"]


def staleness(
    runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = (), rounds: tuple[int, int] | None = None
) -> None:
    """The share of the updates that were so many server steps behind, in the `rounds` from the first to the last.

    Bars of a series stand beside those of the others. ResultError where a run has no updates.
    """
    found = series(many(runs), labels)
    counted = [np.concatenate([behind(run, rounds) for run in one.runs]) for one in found]
    edges, wide, heights = shares(counted)
    width = 0.8 * wide / len(found)
    for number, (one, values, height) in enumerate(zip(found, counted, heights)):
        places = edges[:-1] + (wide - 1) / 2 + width * (number - (len(found) - 1) / 2)
        label = f"{one.label}, mean {values.mean():.1f}"
        axes.bar(places, height, width, color=COLOURS[number % len(COLOURS)], linewidth=0, label=label)
    axes.set_xlabel(f"staleness [server steps{f', {wide} in a bar' if wide > 1 else ''}]")
    axes.set_ylabel("updates [%]")
    percent(axes.yaxis)
    whole(axes.xaxis, 8)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    legend(axes, least=1)
