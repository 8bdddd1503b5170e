"""`hpcfl sweep`: check every cell, then run what is missing, here or as one Slurm array."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from hpcfl.errors import HpcflError, JobError
from hpcfl.launch import detect
from hpcfl.sweep.condition import Condition, inspect
from hpcfl.sweep.file import Cell, Sweep, read_sweep, told
from hpcfl.sweep.local import Outcome, run_cells
from hpcfl.sweep.show import Overview, show_cells

__all__ = ["sweep"]


def sweep(file: str, changes: Sequence[str], task: int | None, dry_run: bool, **settings: Any) -> int:
    """Run the cells that are missing, those of one array's task if it is given; the exit code is 1 if any failed.

    With `dry_run` only tell what would be run.
    """
    alone()
    read = read_sweep(file, changes, **settings)
    console = Console(highlight=False)
    if task is None:
        chosen = read.cells
        conditions = survey(file, chosen)
        check(file, [cell for cell in chosen if conditions[cell.name].status != "done"])
    else:
        chosen = task_cells(read, task)
        conditions = survey(file, chosen)
    todo = [cell for cell in chosen if conditions[cell.name].status in ("missing", "unfinished")]
    if dry_run:
        show_cells(chosen, conditions, console)
        for cell in todo:
            print(f"hpcfl {shlex.join(cell.arguments)}")
        return 0
    with Overview(len(chosen), len(chosen) - len(todo)) as progress:
        progress.line(summary(read, chosen, conditions))
        outcomes = run_cells([(cell, conditions[cell.name]) for cell in todo], read.run, progress)
    ended: dict[str, Outcome | Condition] = {**conditions, **outcomes}
    show_cells(chosen, ended, console)
    statuses = {found.status for found in ended.values()}
    if "stopped" in statuses:
        print(f"hpcfl: stopped; the same command goes on with what is missing: hpcfl sweep {file}", file=sys.stderr)
        return 130
    return int("failed" in statuses)


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
    return found | {cell.name: Condition("unfinished", "replaced") for cell in foreign}


def check(file: str, cells: Sequence[Cell]) -> None:
    """What `hpcfl run` would refuse, of every cell, before any of them runs."""
    from hpcfl.validate import check as check_job  # imports PyTorch

    wrong = []
    for cell in cells:
        try:
            check_job(cell.job)
        except HpcflError as failure:
            wrong.append((cell.name, str(failure)))
    if wrong:
        raise JobError(told(file, wrong, len(cells)))


def task_cells(read: Sweep, task: int) -> tuple[Cell, ...]:
    """The cells of one task of the array."""
    tasks = math.ceil(len(read.cells) / read.run.pack)
    if not 0 <= task < tasks:
        raise JobError(f"--task {task}: the sweep's {len(read.cells)} cells make tasks 0 to {tasks - 1}")
    return read.cells[task * read.run.pack : (task + 1) * read.run.pack]


def summary(read: Sweep, cells: Sequence[Cell], conditions: dict[str, Condition]) -> str:
    """What is about to happen, in a line."""
    counted: dict[str, int] = {}
    for condition in conditions.values():
        counted[condition.status] = counted.get(condition.status, 0) + 1
    said = ", ".join(f"{count} {status}" for status, count in sorted(counted.items()))
    each = f"{read.run.ranks} rank{'s' * (read.run.ranks > 1)} each, {read.run.parallel} at a time"
    return f"{read.name}: {len(cells)} cells ({said}), {each}; results in {read.folder}"
