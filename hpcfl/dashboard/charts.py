"""A result file's numbers as charts need them: plain lists, thinned to what a screen can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpcfl.analysis.quantities import PARTS, averaged, behind, binned, evaluated, held, shares, spent
from hpcfl.analysis.schemes import in_order, named
from hpcfl.analysis.series import series
from hpcfl.analysis.tables import table, within
from hpcfl.analysis.timeline import jobs, laid
from hpcfl.errors import ResultError
from hpcfl.report.runs import last_own
from hpcfl.results import Reader

__all__ = ["CHARTS", "CURVES", "Chart", "curves", "overlay", "thin"]

Chart = dict[str, Any]

CURVES = {
    "accuracy": {
        "accuracy": "test set",
        "client_accuracy": "clients' own models",
        "client_accuracy_low": "lowest decile of them",
        "unseen_accuracy": "clients that never train",
    },
    "loss": {"loss": "test set", "train_loss": "training", "client_loss": "clients' own models"},
}
"""Chart -> columns of /rounds and what their curves are called."""
POINTS = 800
"""Of a curve: about as many as a chart is wide [pixels]."""
MOST_CLIENTS = {"labels": 60, "accuracy": 150}
"""Clients shown one by one."""
MOST_STEPS = 80
"""Server steps up to which each is a line of the Gantt chart."""
DIGITS = 7


def curves(run: Reader, over: str = "round") -> Chart:
    """Accuracies and losses against rounds, seconds or bytes."""
    found: Chart = {what: [] for what in CURVES}
    for what, columns in CURVES.items():
        for column, name in columns.items():
            try:
                x, y = thin(*evaluated(run, column, over))
            except ResultError:  # not evaluated in this run
                continue
            found[what].append({"name": name, "x": rounded(x), "y": rounded(y)})
    return {"over": over, "clock": _clock(run), **found}


def clients(run: Reader) -> Chart:
    """Each client's own model at its last evaluation, the lowest first."""
    values = last_own(run)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        raise ResultError("No client's own model was evaluated: that needs client.test_size, say 0.2, in the job.")
    order = known[np.argsort(values[known], kind="stable")]
    shown = order[_even(len(order), MOST_CLIENTS["accuracy"])]
    return {
        "client": shown.tolist(),
        "accuracy": rounded(values[shown]),
        "count": len(order),
        "mean": float(values[known].mean()),
    }


def labels(run: Reader) -> Chart:
    """Training samples of the first clients with each label."""
    counts, names = held(run)
    shown = counts[: MOST_CLIENTS["labels"]]
    return {"names": names, "counts": shown.T.tolist(), "count": len(counts)}


def staleness(run: Reader) -> Chart:
    """Share of the updates that were so many server steps behind."""
    values = behind(run)
    edges, wide, (share,) = shares([values])
    return {
        "first": edges[:-1].tolist(),
        "wide": wide,
        "share": rounded(share),
        "mean": float(values.mean()),
        "most": int(values.max()),
    }


def gantt(run: Reader, by: str = "client", part: str = "latest") -> Chart:
    """The first or the latest jobs with their place: the lane of a client or of a rank."""
    found = jobs(run, latest=part == "latest")
    places, lanes = laid(found, by)
    steps = table(run, "rounds", "step", "time")
    times = steps["time"][within(steps["step"], found.rounds)]
    return {
        "by": by,
        "clock": _clock(run),
        "rounds": found.rounds,
        "last": int(steps["step"][-1]),
        "lanes": lanes.numbers.tolist(),
        "middles": lanes.middles.tolist(),
        "end": float(lanes.end),
        "place": places.tolist(),
        "start": rounded(found.start),
        "finish": rounded(found.start + found.length),
        "client": found.client.tolist(),
        "rank": found.rank.tolist(),
        "status": found.status.tolist(),
        "steps": rounded(times) if len(times) <= MOST_STEPS else [],
    }


def times(run: Reader) -> Chart:
    """Real seconds of a round by what they were spent on; of a long run means over several rounds."""
    each, (places, parts, wall) = binned(*spent(run))
    return {
        "each": each,
        "step": rounded(places),
        "parts": {part: rounded(seconds) for part, seconds in zip(PARTS, parts.T)},
        "wall": rounded(wall),
    }


CHARTS: dict[str, Callable[..., Chart]] = {
    "curves": curves,
    "clients": clients,
    "labels": labels,
    "staleness": staleness,
    "gantt": gantt,
    "times": times,
}
"""Name in an address -> what it shows of a run. ResultError where the run has nothing of it."""


def overlay(runs: Sequence[Reader], what: str, over: str, owners: bool = False) -> Chart:
    """A curve per job: of several seeds their mean, with a band of one standard deviation.

    `owners`: named after who trains, as in the weather study.
    """
    found, without = [], []
    rows = series(runs)
    if owners:
        rows = in_order(rows)
        rows = [replace(one, label=name) for one, name in zip(rows, named(rows))]
    for one in rows:
        try:
            places, mean, spread = averaged([evaluated(run, what, over) for run in one.runs])
        except ResultError:
            without.append(one.label)
            continue
        if not len(places):
            without.append(one.label)
            continue
        kept = _even(len(places), POINTS) if len(one.runs) > 1 else thinned(mean)
        line = {"name": one.legend, "x": rounded(places[kept]), "y": rounded(mean[kept])}
        if len(one.runs) > 1:
            line |= {"low": rounded((mean - spread)[kept]), "high": rounded((mean + spread)[kept])}
        found.append(line)
    clocks = {_clock(run) for run in runs}
    return {
        "what": what, "over": over, "series": found, "without": without,
        "clock": clocks.pop() if len(clocks) == 1 else "clock",
    }  # fmt: skip


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve of at most `most` points that looks the same: of every stretch its lowest and its highest."""
    kept = thinned(y, most)
    return x[kept], y[kept]


def thinned(y: np.ndarray, most: int = POINTS) -> np.ndarray:
    """Which points of a curve are kept; the first and the last always are."""
    count = len(y)
    if count <= most:
        return np.arange(count)
    starts = np.linspace(1, count - 1, (most - 2) // 2 + 1).astype(int)
    ends = [(np.argmin(y[a:b]) + a, np.argmax(y[a:b]) + a) for a, b in zip(starts, starts[1:]) if b > a]
    return np.unique([0, *(place for pair in ends for place in pair), count - 1])


def rounded(values: np.ndarray) -> list[float | None]:
    """Numbers of a few digits; JSON has no NaN."""
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def _even(count: int, most: int) -> np.ndarray:
    """At most so many places of `count`, evenly, with both ends."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _clock(run: Reader) -> str:
    """What the job's clock is."""
    return "real time" if run.job.get("clock") == "wall" else "virtual time"
