"""Jobs that were handed in: how far they are, told from the queue and from their result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from hpcfl.errors import ResultError, SlurmError
from hpcfl.progress import clock
from hpcfl.results import open_results
from hpcfl.slurm.client import Queued, ask, queue
from hpcfl.slurm.records import Record, recorded

__all__ = ["cancel", "show_status"]

RECENT = 20
"""Rounds whose times tell the next ones'."""
ENDED = {"finished": "finished", "interrupted": "interrupted", "failed": "failed", "running": "killed"}
"""Status in the result file -> state of a job that has left the queue."""


class Progress(NamedTuple):
    """How far a result file is."""

    status: str
    round: int
    rounds: int
    accuracy: float
    """Of the latest evaluation; NaN before the first one."""
    left_s: float
    """Seconds to the end at the speed of the latest rounds."""


def show_status(console: Console, last: int) -> None:
    """Print our jobs in the queue, and of the others the `last` ones."""
    waiting = queue()
    tasks = [task for record in recorded() for task in record.tasks().items()]
    ended = [number for number, _ in tasks if number not in waiting]
    shown = set(ended[max(0, len(ended) - last) :]) | waiting.keys()
    rows = [(number, record, waiting.get(number)) for number, record in tasks if number in shown]
    if not rows:
        console.print("no jobs were handed in with hpcfl submit")
        return
    table = Table("job", "name", "state", box=None, pad_edge=False, header_style="bold")
    for title in ("round", "accuracy", "ETA", "limit in"):
        table.add_column(title, justify="right")
    table.add_column("results", overflow="fold")
    for number, record, queued in rows:
        table.add_row(number, record.name, *cells(record, queued))
    console.print(table)


def cells(record: Record, queued: Queued | None) -> Iterator[str]:
    """State, round, accuracy, time left, time to Slurm's limit, and the file to look into."""
    found = read_progress(Path(record.result))
    if queued is None:
        yield ENDED[found.status] if found else "no results"
    else:
        yield queued.state.lower() + (f" {queued.reason}" if queued.state == "PENDING" else "")
    yield f"{found.round}/{found.rounds}" if found else ""
    yield f"{found.accuracy:.4f}" if found and not np.isnan(found.accuracy) else ""
    runs = queued is not None and queued.state == "RUNNING"
    yield clock(found.left_s) if found and runs else ""
    yield queued.left if runs else ""
    yield nearby(Path(record.result if found or queued else record.log))


def read_progress(path: Path) -> Progress | None:
    """What the result file tells; None where there is none, or it has no round yet."""
    try:
        with open_results(path) as run:
            step, wall, accuracy = (run.rounds[name] for name in ("step", "wall", "accuracy"))
            rounds, status = int(run.job["rounds"]), run.status
    except ResultError:
        return None
    known = accuracy[~np.isnan(accuracy)]
    recent = max(len(step) - 1 - RECENT, 0)
    # with one round there is no difference yet: since the start, then
    done, seconds = (step[-1] - step[recent], wall[-1] - wall[recent]) if len(step) > 1 else (step[-1], wall[-1])
    left = (rounds - step[-1]) * max(float(seconds), 0.0) / max(int(done), 1)
    return Progress(status, int(step[-1]), rounds, float(known[-1]) if len(known) else np.nan, float(left))


def cancel(wanted: Sequence[str]) -> list[str]:
    """Cancel jobs by id (12, or 12_3 of an array) or by name; the ids. SlurmError if one is not ours, or has ended."""
    waiting, ours = queue(), recorded()
    chosen: dict[str, None] = {}
    for word in wanted:
        named = [record.id for record in ours if word in (record.id, record.name)]
        named += [task for record in ours if "_" in word for task in record.tasks() if task == word]
        if not named:
            raise SlurmError(f"{word}: no job of this id or name was handed in with hpcfl submit; see hpcfl status")
        there = [number for number in named if any(number in (task, task.partition("_")[0]) for task in waiting)]
        if not there:
            raise SlurmError(f"{word}: is not in the queue any more; see hpcfl status")
        chosen |= dict.fromkeys(there)
    ask("scancel", *chosen)
    return list(chosen)


def nearby(path: Path) -> str:
    """As seen from the working folder, if it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
