"""Who trained when: a bar for each job, in the lane of its client or of the rank that did it."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from hpcfl.errors import ResultError
from hpcfl.plots.style import COLOURS, colours, in_seconds, legend
from hpcfl.plots.tables import Run, table, within

__all__ = ["Jobs", "gantt", "jobs"]

MOST_JOBS = 400
"""Jobs drawn unless rounds are asked for: the first rounds that have so many."""
MOST_NAMES = 16
"""Lanes up to which each is named; of more, those with round numbers are."""
MOST_STEPS = 80
"""Server steps up to which each is a line."""
BAR = 0.85
"""Height of a bar in its lane."""
MOST_EDGED = 150
"""Lanes up to which bars have an edge, which would cover thinner ones."""
MOST_RANKS = 10
"""Ranks up to which the legend has each; of more it has the first, the middle and the last."""
VECTORS = 3000
"""Bars up to which a PDF or SVG keeps them as shapes."""
LOST = {"failed": "xxxx", "straggler": "////", "dropped": "...."}
"""The hatching of jobs that brought nothing."""


class Jobs(NamedTuple):
    """(J,) of each: when a job ran on the job's clock [s], where, and what became of it in a word."""

    start: np.ndarray
    length: np.ndarray
    client: np.ndarray
    rank: np.ndarray
    status: np.ndarray
    rounds: tuple[int, int]
    """The first and the last round of them."""


def gantt(
    run: Run, axes: Axes, by: Literal["client", "rank"] = "client", rounds: tuple[int, int] | None = None
) -> None:
    """A lane per client, coloured by rank; or per rank, where jobs at the same time on the clock lie side by side.

    Grey lines are the server's steps. Without `rounds` (first, last) the first rounds of a long run are drawn.
    ResultError where there are no jobs, or none lasts any time.
    """
    found = jobs(run, rounds)
    places, lanes = _lanes(found, by)
    boxes = _boxes(found, places)
    for label, (chosen, colour, hatch) in _kinds(found, by).items():
        bars = PolyCollection(
            boxes[chosen], facecolor=colour, edgecolor="0.35" if hatch else "white", hatch=hatch, label=label,
            linewidth=0.2 if lanes.end < MOST_EDGED else 0, rasterized=len(boxes) > VECTORS,
        )  # fmt: skip
        axes.add_collection(bars, autolim=False)
    _draw_steps(run, axes, found.rounds)
    _name(axes, lanes, by)
    last = int(table(run, "rounds")["step"][-1])
    some = f", rounds {found.rounds[0]} to {found.rounds[1]} of {last:,}" if found.rounds != (1, last) else ""
    clock = "wall time" if run.job.get("clock") == "wall" else "virtual time"
    in_seconds(axes.xaxis, float((found.start + found.length).max()), f"{clock}{some}")
    axes.set_xlim(0 if found.rounds[0] == 1 else found.start.min(), (found.start + found.length).max())
    legend(axes)


def jobs(run: Run, rounds: tuple[int, int] | None = None) -> Jobs:
    """The jobs that ended in the rounds, in the order of their start."""
    events = table(run, "events")
    step = events["step"]
    if not len(step):
        raise ResultError(f"{run.path} has no jobs of clients")
    if rounds is None:
        ends = np.cumsum(np.bincount(step))
        few = int(np.searchsorted(ends, MOST_JOBS, side="right")) - 1
        rounds = 1, max(1, min(few, int(table(run, "rounds")["step"][-1])))
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


def _lanes(found: Jobs, by: str) -> tuple[np.ndarray, Lanes]:
    """(J,) the height at which each job is drawn, a bar being 1 high, and the lanes."""
    if by == "client":
        numbers = np.unique(found.client)
        if 2 * len(numbers) >= numbers[-1] - numbers[0] + 1:  # few are missing: clients at even distances read better
            numbers = np.arange(numbers[0], numbers[-1] + 1)
        return np.searchsorted(numbers, found.client), Lanes(numbers, np.arange(len(numbers)), len(numbers) - 0.5)
    numbers, lanes = np.unique(found.rank, return_inverse=True)
    places, middles, top = np.zeros(len(lanes)), [], 0.0
    for lane in range(len(numbers)):
        mine = np.flatnonzero(lanes == lane)
        places[mine] = rows = top + np.array(_rows(found.start[mine], found.length[mine]))
        middles.append((top + rows.max()) / 2)
        top = rows.max() + 2
    return places, Lanes(numbers, np.array(middles), top - 1.5)


def _boxes(found: Jobs, places: np.ndarray) -> np.ndarray:
    """(J, 4, 2) the corners of the bars."""
    begin, end, half = found.start, found.start + found.length, BAR / 2
    low, high = places - half, places + half
    return np.stack([np.stack(corner, 1) for corner in ((begin, low), (end, low), (end, high), (begin, high))], 1)


def _rows(start: np.ndarray, length: np.ndarray) -> list[int]:
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


def _kinds(found: Jobs, by: str) -> dict[str, tuple[np.ndarray, Any, str | None]]:
    """Label -> which jobs, their colour and hatching: those combined, and the lost by their end."""
    good = found.status == "ok"
    kinds: dict[str, tuple[np.ndarray, Any, str | None]] = {}
    if by == "client":
        ranks = np.unique(found.rank[good])
        named = ranks if len(ranks) <= MOST_RANKS else ranks[[0, len(ranks) // 2, -1]]  # colours go from dark to light
        for rank, colour in zip(ranks, colours(len(ranks))):
            label = f"rank {rank}" if rank in named else f"_rank {rank}"
            kinds[label] = good & (found.rank == rank), colour, None
    else:
        kinds["combined"] = good, COLOURS[0], None
    for word, hatch in LOST.items():
        lost = found.status == word
        if lost.any():
            kinds[word] = lost, "0.85", hatch
    return kinds


def _draw_steps(run: Run, axes: Axes, rounds: tuple[int, int]) -> None:
    found = table(run, "rounds")
    times = found["time"][within(found["step"], rounds)]
    if len(times) <= MOST_STEPS:
        for time in times:
            axes.axvline(time, color="0.75", linewidth=0.4, zorder=0)


def _name(axes: Axes, lanes: Lanes, by: str) -> None:
    names = ["none" if number < 0 else str(number) for number in lanes.numbers]
    each = next(each for each in (1, 2, 5, 10, 20, 50, 100, 1000, 10000, len(names)) if len(names) <= each * MOST_NAMES)
    chosen = np.flatnonzero(lanes.numbers % each == 0)
    axes.set_yticks(lanes.middles[chosen], [names[at] for at in chosen])
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel(by)
    axes.set_ylim(lanes.end, -0.5)
