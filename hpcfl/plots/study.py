"""Alone, together, or all data in one place: what each reaches in the end, a row per job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.analysis.schemes import KINDS, in_order, kind, named, reached
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import Run, many
from hpcfl.plots.style import COLOURS, legend, name_rows, percent

__all__ = ["study"]

MARKS = ("s", "o", "D")


def study(runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = (), own: bool = False) -> None:
    """The last test accuracy of each job: a dot per seed, and mean and standard deviation over them.

    `own`: on the samples that the owners who train keep back, instead of the test set that all share. ResultError
    where a run has no such accuracy.
    """
    rows = in_order(series(many(runs), labels))
    names = [one.label for one in rows] if labels else named(rows)
    for number, (word, told) in enumerate(KINDS.items()):
        mine = [at for at, one in enumerate(rows) if kind(one.runs[0]) == word]
        if not mine:
            continue
        values = [np.array([reached(run, own) for run in rows[at].runs]) for at in mine]
        means = [each.mean() for each in values]
        spreads = [each.std(ddof=1) if len(each) > 1 else 0.0 for each in values]
        axes.errorbar(
            means, mine, xerr=spreads, fmt=MARKS[number], color=COLOURS[number], markersize=4, capsize=2,
            elinewidth=1, label=told,
        )  # fmt: skip
        places = np.repeat(mine, [len(each) for each in values]) - 0.25
        axes.scatter(np.concatenate(values), places, s=4, color=COLOURS[number], alpha=0.6, linewidth=0)
    name_rows(axes, names)
    axes.set_xlabel("accuracy on own test parts [%]" if own else "test accuracy [%]")
    percent(axes.xaxis)
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    legend(axes, least=1)
