"""Who trained when: the jobs of the clients, and the lanes that a Gantt chart draws them in."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from hpcfl.analysis.tables import Run, table, within
from hpcfl.errors import ResultError

__all__ = ["LOST", "Jobs", "Lanes", "jobs", "laid", "packed"]

MOST_JOBS = 400
"""Jobs shown unless rounds are asked for: as many rounds as have so many."""
LOST = ("failed", "straggler", "dropped")
"""What became of jobs that brought nothing."""


class Jobs(NamedTuple):
    """(J,) of each: when a job ran on the job's clock [s], where, and what became of it in a word."""

    start: np.ndarray
    length: np.ndarray
    client: np.ndarray
    rank: np.ndarray
    status: np.ndarray
    rounds: tuple[int, int]
    """The first and the last round of them."""


def jobs(run: Run, rounds: tuple[int, int] | None = None, latest: bool = False) -> Jobs:
    """The jobs that ended in the rounds, in the order of their start; without `rounds` in the first, or the latest."""
    events = table(run, "events", "step", "start", "finish", "client", "rank", "status")
    step = events["step"]
    if not len(step):
        raise ResultError(f"{run.path} has no jobs of clients")
    if rounds is None:
        steps = table(run, "rounds", "step")["step"]
        counts = np.bincount(np.searchsorted(steps, step), minlength=len(steps))[: len(steps)]
        few = int(np.searchsorted(np.cumsum(counts[::-1] if latest else counts), MOST_JOBS, side="right"))
        few = max(1, min(few, len(steps)))
        rounds = (int(steps[-few]), int(steps[-1])) if latest else (int(steps[0]), int(steps[few - 1]))
    kept = np.flatnonzero(within(step, rounds))
    if not len(kept):
        raise ResultError(
            f"{run.path} has no jobs in rounds {rounds[0]} to {rounds[1]}; it has {step[0]} to {step[-1]}"
        )
    kept = kept[np.argsort(events["start"][kept], kind="stable")]
    start, finish, client, rank, status = (
        events[name][kept] for name in ("start", "finish", "client", "rank", "status")
    )
    if not (finish > start).any():
        raise ResultError(f"{run.path}: no job lasts any time on its clock; set client.device.seconds_per_step")
    return Jobs(start, finish - start, client, rank, status, rounds)


class Lanes(NamedTuple):
    """What lies on the vertical axis."""

    numbers: np.ndarray
    """(L,) the client or rank of each lane."""
    middles: np.ndarray
    """(L,) where each lane's name stands."""
    end: float
    """Below the last one."""


def laid(found: Jobs, by: str) -> tuple[np.ndarray, Lanes]:
    """(J,) the height at which each job is drawn, a bar being 1 high, and the lanes."""
    if by == "client":
        numbers = np.unique(found.client)
        between = int(numbers[-1]) - int(numbers[0]) + 1
        if 2 * len(numbers) >= between:  # few are missing: clients at even distances read better
            numbers = np.arange(numbers[0], numbers[-1] + 1)
        return np.searchsorted(numbers, found.client), Lanes(numbers, np.arange(len(numbers)), len(numbers) - 0.5)
    numbers, lane_of = np.unique(found.rank, return_inverse=True)
    places, middles, top = np.zeros(len(lane_of)), [], 0.0
    for lane in range(len(numbers)):
        mine = np.flatnonzero(lane_of == lane)
        places[mine] = rows = top + np.array(packed(found.start[mine], found.length[mine]))
        middles.append((top + rows.max()) / 2)
        top = rows.max() + 2
    return places, Lanes(numbers, np.array(middles), top - 1.5)


def packed(start: np.ndarray, length: np.ndarray) -> list[int]:
    """A row for each job, in the order of their start, so that no two in a row overlap; as few rows as can be."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    rows = []
    for begin, lasts in zip(start.tolist(), length.tolist()):
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        row = heappop(free) if free else len(busy)
        rows.append(row)
        heappush(busy, (begin + lasts, row))
    return rows
