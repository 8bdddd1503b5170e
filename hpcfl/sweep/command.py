"""`hpcfl sweep`: check every cell, then run what is missing, here or as one Slurm array."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from hpcfl.errors import HpcflError, JobError
from hpcfl.launch import detect
from hpcfl.memory import importing
from hpcfl.sweep.array import submit, task_cells, task_place
from hpcfl.sweep.condition import Condition, inspect
from hpcfl.sweep.file import Cell, Sweep, read_sweep, told
from hpcfl.sweep.local import Outcome, run_cells
from hpcfl.sweep.show import Overview, show_cells
from hpcfl.timelimit import UNFINISHED, requeue, slurm_job

__all__ = ["Wish", "sweep"]

TODO = ("missing", "empty", "unfinished")
"""Conditions in which a cell is run."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for, beside the cells."""

    task: int | None = None
    """The task of an array whose cells are to be run; None for all of them."""
    dry_run: bool = False
    """Tell only what would be run."""
    submit: bool = False
    """Hand the cells in to Slurm."""
    requeue: bool = False
    """Put a task that the time limit ended back into the queue."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Of a task: some fields of slurm.Request."""
    site: str | None = None
    """The site file."""


def sweep(file: str, changes: Sequence[str], wish: Wish, **settings: Any) -> int:
    """Run the cells that are missing, here or as an array; the exit code is 1 if any failed."""
    alone()
    read = read_sweep(file, changes, **settings)
    chosen = read.cells if wish.task is None else task_cells(read, wish.task)
    conditions = survey(file, chosen)
    todo = [cell for cell in chosen if conditions[cell.name].status in TODO]
    if wish.task is None:
        check(file, todo)
    console = Console(highlight=False)
    if wish.submit:
        text = submit(read, changes, todo, {**wish.resources, "requeue": wish.requeue}, wish.site, wish.dry_run)
        console.print(text, soft_wrap=True, markup=False, end="")
        return 0
    if wish.dry_run:
        show_cells(chosen, conditions, console)
        for cell in todo:
            print(f"hpcfl {shlex.join(cell.arguments)}")
        return 0
    with Overview(len(chosen), len(chosen) - len(todo)) as progress:
        progress.line(summary(read, chosen, conditions))
        link = None if wish.task is None else task_place(read, wish.task)
        outcomes = run_cells([(cell, conditions[cell.name]) for cell in todo], read.run, progress, link)
    ended: dict[str, Outcome | Condition] = {**conditions, **outcomes}
    show_cells(chosen, ended, console)
    statuses = {found.status for found in ended.values()}
    if "stopped" not in statuses:
        return int("failed" in statuses)
    tell(f"stopped; the same command goes on with what is missing: hpcfl sweep {file}")
    wanted = wish.requeue or any(cell.job.spec.checkpoint.requeue for cell in chosen)
    return 0 if wanted and wish.task is not None and back(chosen, conditions, outcomes) else UNFINISHED


def back(cells: Sequence[Cell], before: Mapping[str, Condition], outcomes: Mapping[str, Outcome]) -> bool:
    """Whether the task is in the queue again: if the cells came any further, so that the next time ends some day."""
    further = [cell for cell in cells if cell.name in outcomes and inspect(cell) != before[cell.name]]
    job = slurm_job(os.environ)
    if not further or job is None:
        refusal = "no round was made since the last start" if job else "this is no Slurm job"
    else:
        refusal = requeue(job)
    tell(f"not put back into the queue: {refusal}" if refusal else f"job {job} is back in the queue")
    return refusal is None


def tell(line: str) -> None:
    """A line of its own, on stderr."""
    print(f"hpcfl: {line}", file=sys.stderr, flush=True)


def alone() -> None:
    """JobError if several of this process were started."""
    if detect(os.environ).size > 1:
        raise JobError("hpcfl sweep starts the ranks of its cells itself: run it alone, without mpirun or srun")


def survey(file: str, cells: Sequence[Cell]) -> dict[str, Condition]:
    """How every cell stands; JobError if a file that is not the cell's would be replaced."""
    found = {cell.name: inspect(cell) for cell in cells}
    foreign = [cell for cell in cells if found[cell.name].status == "foreign"]
    if refused := [cell for cell in foreign if not cell.job.spec.results.overwrite]:
        wrong = [(cell.name, f"{cell.path} {found[cell.name].note}") for cell in refused]
        advice = "take another run.results, remove the files, or replace them with --set results.overwrite=true"
        raise JobError(f"{told(file, wrong, len(cells))}\n  {advice}")
    return found | {cell.name: Condition("empty", "replaced") for cell in foreign}


def check(file: str, cells: Sequence[Cell]) -> None:
    """What `hpcfl run` would refuse, of every cell, before any of them runs."""
    with importing():
        from hpcfl.validate import check as check_job  # imports PyTorch

    wrong = []
    for cell in cells:
        try:
            check_job(cell.job)
        except HpcflError as failure:
            wrong.append((cell.name, str(failure)))
    if wrong:
        raise JobError(told(file, wrong, len(cells)))


def summary(read: Sweep, cells: Sequence[Cell], conditions: dict[str, Condition]) -> str:
    """What is about to happen, in a line."""
    counted: dict[str, int] = {}
    for condition in conditions.values():
        counted[condition.status] = counted.get(condition.status, 0) + 1
    said = ", ".join(f"{count} {status}" for status, count in sorted(counted.items()))
    each = f"{read.run.ranks} rank{'s' * (read.run.ranks > 1)} each, {read.run.parallel} at a time"
    return f"{read.name}: {len(cells)} cell{'s' * (len(cells) > 1)} ({said}), {each}; results in {read.folder}"
