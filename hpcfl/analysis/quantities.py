"""The numbers that figures and pages show of a run: curves, labels held, staleness, time spent, clients' accuracies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpcfl.analysis.tables import Run, table, within
from hpcfl.errors import ResultError
from hpcfl.results.format import COMBINED

__all__ = ["AXES", "PARTS", "averaged", "behind", "binned", "evaluated", "held", "last_own", "shares", "spent"]

AXES = {
    "round": ("step",),
    "time": ("time",),
    "wall": ("wall",),
    "bytes": ("client_bytes_up", "client_bytes_down"),
}
"""What a curve is drawn against -> its columns in /rounds; of several, all that came together up to a round."""
PARTS = ("training", "communicating", "aggregating", "evaluating")
MOST_BARS = 25
"""Bars of the staleness, and rounds whose time is shown one by one (of more, each bar is the mean of several)."""
MOST_ROUNDS = 60


def evaluated(run: Run, what: str, over: str = "round") -> tuple[np.ndarray, np.ndarray]:
    """(E,) places and (E,) values of the rounds that were evaluated.

    Places are steps, seconds of the job's clock (`time`) or real ones (`wall`), or all bytes that the simulated clients
    received and sent up to then.
    """
    axis = AXES[over]
    rounds = table(run, "rounds", what, *axis)
    values = rounds.get(what, np.full(len(rounds[axis[0]]), np.nan))
    places = np.cumsum(sum(rounds[name] for name in axis)) if over == "bytes" else rounds[axis[0]]
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


def last_own(run: Run) -> np.ndarray:
    """(N,) each client's accuracy at the last evaluation, NaN for one that keeps nothing back; where none keeps
    anything, that on the test set."""
    own = table(run, "own")
    if not len(own["step"]):
        raise ResultError(f"{run.path} has no accuracies of clients: run the job with client.test_size, say 0.2")
    last = own["step"] == own["step"][-1]
    kept_back = own["accuracy"][last]
    return own["test_accuracy"][last] if np.isnan(kept_back).all() and "test_accuracy" in own else kept_back


def held(run: Run) -> tuple[np.ndarray, list[str]]:
    """(clients, classes) training samples of each client with each label, and the names of the labels."""
    classes = table(run, "classes")
    names = [name for name in classes if name != "client"]
    if not names:
        raise ResultError(f"{run.path} does not say which labels its clients hold")
    return np.stack([classes[name] for name in names], 1), names


def behind(run: Run, rounds: tuple[int, int] | None = None) -> np.ndarray:
    """(updates,) the staleness of each update that was combined."""
    events = table(run, "events", "step", "version", "status")
    used = np.isin(events["status"], COMBINED) & within(events["step"], rounds)
    if not used.any():
        raise ResultError(f"{run.path} has no updates{f' in rounds {rounds[0]} to {rounds[1]}' if rounds else ''}")
    return (events["step"] - 1 - events["version"])[used]


def shares(counted: Sequence[np.ndarray]) -> tuple[np.ndarray, int, list[np.ndarray]]:
    """(B + 1,) edges of the bars of staleness, the steps in a bar, and each series' (B,) shares of its updates."""
    most = max(0, *(int(values.max()) for values in counted))
    wide = int(np.ceil((most + 1) / MOST_BARS))
    edges = np.arange(0, most + wide + 1, wide)
    return edges, wide, [np.histogram(values, edges)[0] / len(values) for values in counted]


def spent(run: Run, rounds: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R,) steps, (R, parts) seconds of each part, and (R,) real seconds since the round before."""
    found = table(run, "rounds", "step", "wall", *PARTS)
    step = found["step"]
    kept = within(step, rounds)
    if not kept.any():
        raise ResultError(f"{run.path} has no rounds {rounds[0]} to {rounds[1]}; it has {step[0]} to {step[-1]}")
    parts = np.stack([np.nan_to_num(found[part]) for part in PARTS], 1)
    wall = np.diff(found["wall"], prepend=0)
    if not parts.any():
        raise ResultError(f"{run.path} does not say where its time went")
    return step[kept], parts[kept], wall[kept]


def binned(*columns: np.ndarray, most: int = MOST_ROUNDS) -> tuple[int, list[np.ndarray]]:
    """How many rows a bar stands for, and the means of each column, (R, ...), over them."""
    count = len(columns[0])
    each = int(np.ceil(count / most))
    starts = np.arange(0, count, each)
    sizes = np.diff(starts, append=count)
    return each, [np.add.reduceat(c, starts) / sizes.reshape(-1, *[1] * (c.ndim - 1)) for c in columns]
