"""How a cell stands, read from its result file: what is done is not done again, and nobody else's file is replaced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfl.checkpoint.identity import ABSENT, flat, is_free
from hpcfl.content import Content
from hpcfl.errors import JobError, ResultError
from hpcfl.results import Reader, open_results
from hpcfl.results.files import locked
from hpcfl.results.opening import check_format
from hpcfl.schema import JobSpec
from hpcfl.sweep.file import Cell

__all__ = ["Condition", "differences", "inspect", "step_of"]


@dataclass(frozen=True)
class Condition:
    """What is there of a cell."""

    status: str
    """done; running, by another process; unfinished; empty, a file without a round; missing; or foreign, a file that is
    not this cell's."""
    note: str = ""
    """Of a foreign one: what it is."""
    accuracy: float = math.nan
    """The last one on the test set."""
    seconds: float = math.nan
    """Real time of the rounds that are recorded."""


def inspect(cell: Cell) -> Condition:
    """Look at the cell's result file. A finished one is the cell's only if its job is."""
    if any(map(locked, (cell.path, cell.path.with_name(cell.path.name + ".new")))):
        return Condition("running")
    if not cell.path.exists():
        return Condition("missing")
    try:
        with open_results(cell.path) as run:
            if differ := differences(run.job, cell.job.spec.resolved()):
                return Condition("foreign", f"holds another job: {'; '.join(differ)}")
            return Condition("done" if run.finished else "unfinished", "", *reached(run))
    except ResultError as failure:
        # killed before its first round: it is a result file, but there is nothing in it
        return Condition("empty") if is_ours(cell.path) else Condition("foreign", str(failure))


def step_of(cell: Cell) -> tuple[int, float]:
    """(rounds made, last accuracy) of a cell that runs; (0, NaN) before its first round."""
    try:
        with open_results(cell.path) as run:
            return int(run.rounds["step"][-1]), reached(run)[0]
    except ResultError:
        return 0, math.nan


def reached(run: Reader) -> tuple[float, float]:
    """(last accuracy, seconds) of the rounds so far."""
    accuracy = run.rounds["accuracy"]
    known = accuracy[~np.isnan(accuracy)]
    return float(known[-1]) if len(known) else math.nan, float(run.rounds["wall"][-1])


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys in which two resolved jobs differ, "KEY is A there and B here"; none where they mean the same."""
    with suppress(JobError):  # one of an older hpcfl: keys that came later have their defaults
        there = JobSpec.parse(dict(there), "").resolved()
    old, new = flat(there), flat(here)
    return [
        f"{key.replace('.params.', '.')} is {old.get(key, ABSENT)!r} there and {new.get(key, ABSENT)!r} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, ABSENT) != new.get(key, ABSENT) and not is_free(key)
    ]


def is_ours(path: Path) -> bool:
    """Whether it is a result file of a version that is known here, with rounds or without."""
    try:
        with Content(path) as content, h5py.File(content, "r") as file:
            check_format(path, file)
    except (OSError, ValueError, ResultError):
        return False
    return True
