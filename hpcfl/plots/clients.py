"""How the clients' own models do on the samples that each client keeps back: a box per series, a dot per client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.analysis.quantities import last_own
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import Run, many
from hpcfl.plots.style import COLOURS, name_rows, percent

__all__ = ["clients"]

MOST_DOTS = 300
"""Clients of a series up to which each is a dot; of more, only those beyond the whiskers are."""
WIDTH = 0.5


def clients(runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = ()) -> None:
    """Accuracy per client at the last evaluation; clients of all seeds of a series are in one box.

    Whiskers reach from the 10th to the 90th percentile. ResultError where a run did not evaluate its clients' own
    models.
    """
    found = series(many(runs), labels)
    for place, one in enumerate(found):
        values = np.concatenate([last_own(run) for run in one.runs])
        values = values[np.isfinite(values)]
        few, colour = len(values) <= MOST_DOTS, COLOURS[place % len(COLOURS)]
        axes.boxplot(
            values, positions=[place], orientation="horizontal", widths=WIDTH, whis=(10, 90), showmeans=True,
            showfliers=not few, boxprops={"color": colour}, whiskerprops={"color": colour}, capprops={"color": colour},
            medianprops={"color": colour, "linewidth": 2}, flierprops={"marker": ".", "markersize": 2},
            meanprops={"marker": "D", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": "black"},
        )  # fmt: skip
        if few:
            heights = place + WIDTH * 0.8 * (np.arange(len(values)) * 0.618034 % 1 - 0.5)
            axes.scatter(values, heights, s=5, color=colour, alpha=0.5, linewidth=0)
    name_rows(axes, [one.legend for one in found])
    percent(axes.xaxis)
    axes.set_xlabel("accuracy per client [%]")
    axes.grid(axis="x", color="0.9", linewidth=0.5)
