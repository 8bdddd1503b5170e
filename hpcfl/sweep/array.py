"""A sweep as one Slurm array: task k runs the k-th pack of cells, and only tasks with something to do are queued."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hpcfl.errors import JobError
from hpcfl.slurm.client import queue
from hpcfl.slurm.records import recorded
from hpcfl.slurm.script import Request, script
from hpcfl.slurm.site import read_site
from hpcfl.slurm.submit import send
from hpcfl.sweep.file import Cell, Sweep

__all__ = ["array", "request", "submit", "task_cells", "task_place"]


def submit(
    read: Sweep, changes: Sequence[str], todo: Sequence[Cell], wanted: Mapping[str, Any], site: str | None, dry: bool
) -> str:
    """Hand in the tasks of these cells that are not queued already, and what to say of it; `dry`: only the script.

    SlurmError with sbatch's own words if it refuses.
    """
    known = read_site(site, os.environ)
    tasks = sorted({read.cells.index(cell) // read.run.pack for cell in todo})
    waiting = [] if dry else sorted(set(tasks) & queued(read.path))
    tasks = [task for task in tasks if task not in waiting]
    asked = f"{read.name}: {len(read.cells)} cells, {len(todo)} to do"
    if waiting:
        asked += f"; in the queue already: task{'s' * (len(waiting) > 1)} {array(waiting)}"
    if not tasks:
        return f"{asked}; nothing to hand in\n"
    made = request(read, changes, tasks, wanted, known.launcher)
    text = script(made, known)
    if dry:
        return text
    record = send(text, made, str(read.path), str(task_place(read, "%a")))
    several = f", {read.run.pack} cells each" if read.run.pack > 1 else ""
    return (
        f"{asked}\njob {record.id}: array {made.array}{several}\nlogs:     {made.output.replace('%A', record.id)}\n"
        f"results:  {read.folder}\nlook after it: hpcfl status; end it: hpcfl cancel {record.id}\n"
    )


def request(
    read: Sweep, changes: Sequence[str], tasks: Sequence[int], wanted: Mapping[str, Any], launcher: str
) -> Request:
    """What Slurm is asked for: each task has the ranks of the cells that run at a time, and starts them itself."""
    words = ["sweep", str(read.path)]
    for change in changes:
        words += ["--set", change]
    for option in ("ranks", "parallel", "pack"):
        words += [f"--{option}", str(getattr(read.run, option))]
    words += ["--launcher", launcher if read.run.launcher == "auto" else read.run.launcher]
    words += ["--requeue"] if wanted.get("requeue") else []
    ranks = read.run.ranks * read.run.parallel
    per_node = wanted.get("ranks_per_node") or math.ceil(ranks / wanted.get("nodes", 1))
    if per_node * wanted.get("nodes", 1) < ranks:
        raise JobError(
            f"--ranks-per-node {per_node}: {read.run.parallel} cells of {read.run.ranks} ranks at a time need {ranks} "
            f"on {wanted.get('nodes', 1)} nodes"
        )
    return Request(
        **{**wanted, "ranks_per_node": per_node},
        name=read.name,
        arguments=f"{shlex.join(words)} --task $SLURM_ARRAY_TASK_ID",
        output=str(read.folder / "tasks" / "%A_%a.log"),
        array=array(tasks),
        launched=False,
        python=sys.executable,
    )


def queued(path: Path) -> set[int]:
    """Tasks of this sweep that wait or run."""
    there, ours = queue(), str(path.absolute())
    ids = [number.partition("_") for number in there]
    arrays = {record.id for record in recorded() if record.job == ours}
    return {int(task) for number, _, task in ids if number in arrays and task.isdigit()}


def array(tasks: Iterable[int]) -> str:
    """The indices in Slurm's notation: 0, 1, 2 and 5 are 0-2,5."""
    runs = [[task for _, task in run] for _, run in groupby(enumerate(tasks), lambda pair: pair[1] - pair[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def task_cells(read: Sweep, task: int) -> tuple[Cell, ...]:
    """The cells of one task."""
    tasks = math.ceil(len(read.cells) / read.run.pack)
    if not 0 <= task < tasks:
        raise JobError(f"--task {task}: the sweep's {len(read.cells)} cells make tasks 0 to {tasks - 1}")
    return read.cells[task * read.run.pack : (task + 1) * read.run.pack]


def task_place(read: Sweep, task: int | str) -> Path:
    """Where the result file of the cell that a task works on is found."""
    return read.folder / "tasks" / f"{task}.h5"
