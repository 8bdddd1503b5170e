"""Alone, together, or all data in one place: what each reaches in the end, a row per job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.errors import ResultError
from hpcfl.federation import POOLED
from hpcfl.plots.clients import last_own
from hpcfl.plots.curves import evaluated
from hpcfl.plots.series import Series, series
from hpcfl.plots.style import COLOURS, legend, name_rows, percent
from hpcfl.plots.tables import Run, many, table

__all__ = ["KINDS", "kind", "reached", "study"]

KINDS = {"alone": "one owner alone", "federated": "federated", "pooled": "all data in one place"}
"""What a run is -> what the legend calls it; the order of the rows."""
MARKS = ("s", "o", "D")


def study(runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = (), own: bool = False) -> None:
    """The last test accuracy of each job: a dot per seed, and mean and standard deviation over them.

    `own`: on the samples that the owners who train keep back, instead of the test set that all share. ResultError
    where a run has no such accuracy.
    """
    rows = sorted(series(many(runs), labels), key=lambda one: _place(one.runs[0]))
    names = [one.label for one in rows] if labels else _names(rows)
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


def kind(run: Run) -> str:
    """pooled: one trainer has everybody's data; alone: only one of the clients ever trains; else federated."""
    if set(POOLED) & {name.strip() for name in str(run.job.get("strategy", {}).get("name")).split("+")}:
        return "pooled"
    return "alone" if len(_trained(run)) == 1 else "federated"


def reached(run: Run, own: bool = False) -> float:
    """The last accuracy on the test set; or on what the clients that train keep back, weighted by its size."""
    if not own:
        return float(evaluated(run, "accuracy")[1][-1])
    trained, clients = _trained(run), table(run, "clients")
    weights = clients["held_out"][trained] if "held_out" in clients else np.zeros(len(trained))
    if not weights.any():
        raise ResultError(f"{run.path} has no accuracies on own test parts: run the job with client.test_size, say 0.2")
    accuracies = last_own(run)[trained]
    asked = np.isfinite(accuracies)
    return float(np.average(accuracies[asked], weights=weights[asked]))


def _place(run: Run) -> tuple[int, int, list[int]]:
    """What the rows are sorted by: kind, number of owners, and who trains."""
    return list(KINDS).index(kind(run)), len(table(run, "clients")["client"]), _trained(run).tolist()


def _trained(run: Run) -> np.ndarray:
    """The clients that train."""
    return np.unique(table(run, "events")["client"])


def _names(rows: Sequence[Series]) -> list[str]:
    """A row's name: who trains; where that does not tell them apart, the series' label."""
    names = [_name(one.runs[0]) for one in rows]
    counted = Counter(names)
    return [name if counted[name] == 1 else f"{name}, {one.label}" for name, one in zip(names, rows)]


def _name(run: Run) -> str:
    owners = len(table(run, "clients")["client"])
    if kind(run) == "alone":
        return f"owner {_trained(run)[0] + 1} of {owners}"
    return "all data" if kind(run) == "pooled" else f"{owners} owners"
