"""Accuracy and loss against rounds, time or traffic: the mean over the seeds, with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes

from hpcfl.analysis.quantities import averaged, evaluated
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import Run, many
from hpcfl.errors import ResultError
from hpcfl.plots.style import COLOURS, LINES, in_seconds, legend, percent, scaled, whole

__all__ = ["accuracy", "loss"]

LABELS = {"accuracy": "test accuracy [%]", "loss": "test loss"}


def accuracy(runs: Run | Iterable[Run], axes: Axes, over: str = "round", labels: Sequence[str] = ()) -> None:
    """The test accuracy of the global model. ResultError where a run has none."""
    _curves(many(runs), axes, "accuracy", over, labels)
    percent(axes.yaxis)


def loss(runs: Run | Iterable[Run], axes: Axes, over: str = "round", labels: Sequence[str] = ()) -> None:
    """The mean loss of the global model on the test set. ResultError where a run has none."""
    _curves(many(runs), axes, "loss", over, labels)


def _curves(runs: list[Run], axes: Axes, what: str, over: str, labels: Sequence[str]) -> None:
    furthest = 0.0
    for number, one in enumerate(series(runs, labels)):
        places, mean, spread = averaged([evaluated(run, what, over) for run in one.runs])
        if not len(places):
            raise ResultError(f"the seeds of {one.label} were evaluated at no common {over}: draw them one by one")
        colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
        mark = "o" if len(places) == 1 else None
        axes.plot(places, mean, line, color=colour, marker=mark, markersize=3, label=one.legend)
        if len(one.runs) > 1:
            axes.fill_between(places, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        furthest = max(furthest, float(places[-1]))
    axes.set_ylabel(LABELS[what])
    axes.margins(x=0.02)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    _label(axes.xaxis, over, furthest, runs)
    legend(axes)


def _label(axis: Any, over: str, furthest: float, runs: Sequence[Run]) -> None:
    if over == "round":
        axis.set_label_text("round")
        whole(axis)
    elif over == "bytes":
        scaled(axis, furthest, "traffic of all clients")
    else:
        virtual = over == "time" and any(run.job.get("clock") != "wall" for run in runs)
        in_seconds(axis, furthest, "virtual time" if virtual else "wall time")
