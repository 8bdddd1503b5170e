"""Accuracy and loss against rounds, time or traffic: the mean over the seeds, with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hpcfl.errors import ResultError
from hpcfl.plots.series import series
from hpcfl.plots.style import COLOURS, LINES, in_seconds, legend, percent, scaled, whole
from hpcfl.plots.tables import Run, many, table

__all__ = ["OVER", "accuracy", "averaged", "evaluated", "loss"]

OVER = ("round", "time", "wall", "bytes")
"""What a curve is drawn against."""
LABELS = {"accuracy": "test accuracy [%]", "loss": "test loss"}


def accuracy(runs: Run | Iterable[Run], axes: Axes, over: str = "round", labels: Sequence[str] = ()) -> None:
    """The test accuracy of the global model. ResultError where a run has none."""
    _curves(many(runs), axes, "accuracy", over, labels)
    percent(axes.yaxis)


def loss(runs: Run | Iterable[Run], axes: Axes, over: str = "round", labels: Sequence[str] = ()) -> None:
    """The mean loss of the global model on the test set. ResultError where a run has none."""
    _curves(many(runs), axes, "loss", over, labels)


def evaluated(run: Run, what: str, over: str = "round") -> tuple[np.ndarray, np.ndarray]:
    """(E,) places and (E,) values of the rounds that were evaluated.

    Places are steps, seconds of the job's clock (`time`) or real ones (`wall`), or all bytes that the simulated clients
    received and sent up to then.
    """
    rounds = table(run, "rounds")
    values = rounds[what]
    if over == "bytes":
        places = np.cumsum(rounds["client_bytes_up"] + rounds["client_bytes_down"])
    else:
        places = rounds["step" if over == "round" else over]
    known = np.isfinite(values)
    if not known.any():
        raise ResultError(f"{run.path} has no {what}: no round of it was evaluated")
    if over == "bytes" and not places[-1]:
        raise ResultError(f"{run.path} has no traffic of clients to draw {what} against")
    return places[known], values[known]


def averaged(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(places, mean, standard deviation) of curves, at all of their places that every one of them reaches.

    Between its own places a curve is straight: seeds are not evaluated at the same moment on a clock.
    """
    places = np.unique(np.concatenate([at for at, _ in curves]))
    places = places[(places >= max(at[0] for at, _ in curves)) & (places <= min(at[-1] for at, _ in curves))]
    values = np.stack([np.interp(places, at, value) for at, value in curves])
    spread = values.std(0, ddof=1) if len(curves) > 1 else np.zeros(len(places))
    return places, values.mean(0), spread


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
