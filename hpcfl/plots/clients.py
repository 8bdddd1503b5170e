"""How the clients' own models do on the samples that each client keeps back: a box per series, a dot per client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.errors import ResultError
from hpcfl.plots.series import series
from hpcfl.plots.style import COLOURS, name_rows, percent
from hpcfl.plots.tables import Run, many, table

__all__ = ["clients", "last_own"]

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


def last_own(run: Run) -> np.ndarray:
    """(N,) each client's accuracy at the last evaluation, NaN for one that keeps nothing back; where none keeps
    anything, that on the test set."""
    own = table(run, "own")
    if not len(own["step"]):
        raise ResultError(f"{run.path} has no accuracies of clients: run the job with client.test_size, say 0.2")
    last = own["step"] == own["step"][-1]
    kept_back = own["accuracy"][last]
    return own["test_accuracy"][last] if np.isnan(kept_back).all() and "test_accuracy" in own else kept_back
