"""Who trained when: a bar for each job, in the lane of its client or of the rank that did it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from hpcfl.analysis.tables import Run, table, within
from hpcfl.analysis.timeline import LOST, Jobs, Lanes, jobs, laid
from hpcfl.plots.style import COLOURS, colours, in_seconds, legend
from hpcfl.results.format import COMBINED

__all__ = ["gantt"]

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
HATCHES = dict(zip(LOST, ("xxxx", "////", "....")))
"""Of jobs that brought nothing."""


def gantt(
    run: Run, axes: Axes, by: Literal["client", "rank"] = "client", rounds: tuple[int, int] | None = None
) -> None:
    """A lane per client, coloured by rank; or per rank, where jobs at the same time on the clock lie side by side.

    Grey lines are the server's steps. Without `rounds` (first, last) the first rounds of a long run are drawn.
    ResultError where there are no jobs, or none lasts any time.
    """
    found = jobs(run, rounds)
    places, lanes = laid(found, by)
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


def _boxes(found: Jobs, places: np.ndarray) -> np.ndarray:
    """(J, 4, 2) the corners of the bars."""
    begin, end, half = found.start, found.start + found.length, BAR / 2
    low, high = places - half, places + half
    return np.stack([np.stack(corner, 1) for corner in ((begin, low), (end, low), (end, high), (begin, high))], 1)


def _kinds(found: Jobs, by: str) -> dict[str, tuple[np.ndarray, Any, str | None]]:
    """Label -> which jobs, their colour and hatching: those combined, and the lost by their end."""
    good = np.isin(found.status, COMBINED)
    kinds: dict[str, tuple[np.ndarray, Any, str | None]] = {}
    if by == "client":
        ranks = np.unique(found.rank[good])
        named = ranks if len(ranks) <= MOST_RANKS else ranks[[0, len(ranks) // 2, -1]]  # colours go from dark to light
        for rank, colour in zip(ranks, colours(len(ranks))):
            label = f"rank {rank}" if rank in named else f"_rank {rank}"
            kinds[label] = good & (found.rank == rank), colour, None
    else:
        kinds["combined"] = good, COLOURS[0], None
    for word, hatch in HATCHES.items():
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
