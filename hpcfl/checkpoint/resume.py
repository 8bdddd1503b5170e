"""What a start finds of the run before it: nothing, a checkpoint to go on from, or that all is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from hpcfl.checkpoint.folder import Checkpoint, folder_of, newest, second_of
from hpcfl.checkpoint.identity import require_same
from hpcfl.content import Content
from hpcfl.errors import JobError, ResultError
from hpcfl.results.files import DAMAGE, reason
from hpcfl.results.form import check_tables, require
from hpcfl.results.opening import check_format, values
from hpcfl.schema import JobSpec

__all__ = ["Before", "find", "latest_result"]


class Before(NamedTuple):
    """What there is."""

    checkpoint: Checkpoint | None = None
    finished: bool = False
    """The run has come to its end: nothing is left to do."""
    overwrite: bool = False
    """It came to no checkpoint: its file is begun anew."""


class Result(NamedTuple):
    """A result file, as far as it matters here. It may have no step yet, which readers refuse."""

    run: str
    finished: bool
    last_step: int
    job: Mapping[str, Any]


def find(spec: JobSpec, path: Path, say: Callable[[str], None]) -> Before:
    """What lies at the result file's `path` and beside it.

    JobError where it is of another job, or where there is nothing to go on from and the job says must.
    """
    if spec.checkpoint.resume == "no":
        return Before()
    folder, must = folder_of(path, spec.checkpoint.path), spec.checkpoint.resume == "must"
    second = second_of(path, spec.checkpoint.second)
    folders = [folder, second] if second else [folder]
    if not path.exists():
        if kept := [folder for folder in folders if any(folder.glob("step-*"))]:
            raise JobError(f"checkpoint.resume: {kept[0]} has checkpoints, but their result file {path} is not there; "
                           "name it with --out, or remove the folder to begin anew")  # fmt: skip
        if must:
            raise JobError(f"checkpoint.resume: there is no run to go on with at {path}; name its result file "
                           'with --out, or say checkpoint.resume = "auto" to begin where none is')  # fmt: skip
        return Before()
    result = look_into(path)
    checkpoint = newest(folders, result.run, result.last_step, say)
    if checkpoint:
        require_same(checkpoint.facts["job"], spec.resolved(), checkpoint.step, f"the checkpoint {checkpoint.path}")
    require_same(result.job, spec.resolved(), result.last_step, f"the run at {path}")
    if result.finished and result.last_step >= spec.rounds:
        return Before(finished=True)
    if checkpoint is None and (must or result.finished):
        raise JobError(f"checkpoint.resume: {folder} has no checkpoint of the run at {path} to go on from; "
                       "begin anew with another --out, or with --set results.overwrite=true")  # fmt: skip
    return Before(checkpoint, overwrite=checkpoint is None)


def look_into(path: Path) -> Result:
    """ResultError if the file is not a result file."""
    try:
        with Content(path) as content, h5py.File(content, "r") as file:
            check_format(path, file)
            rows, job = check_tables(file)["rounds"], json.loads(file["job/resolved"].asstr()[()])
            require(isinstance(job, dict), "/job/resolved is no object in JSON")
            steps = values(file["rounds/step"], rows)
            return Result(file["start_time"].asstr()[()], "end_time" in file, int(steps[-1]) if rows else 0, job)
    except DAMAGE as failure:
        raise ResultError(f"cannot resume the run at {path}: {reason(failure)}") from failure


def latest_result(folder: Path, name: str) -> Path | None:
    """The newest of NAME.h5, NAME-2.h5, ... that is no finished run's; None where there is none."""
    number, latest = 1, None
    while (path := folder / f"{name}{'' if number == 1 else f'-{number}'}.h5").exists():
        number, latest = number + 1, path
    return latest if latest and not look_into(latest).finished else None
