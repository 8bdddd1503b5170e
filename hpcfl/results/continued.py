"""The file of a run that goes on: what came after its checkpoint is taken away, and where it goes on is noted."""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

from hpcfl.content import Content
from hpcfl.results.files import sync
from hpcfl.results.format import TABLES
from hpcfl.results.sections import cut_metrics, cut_own, write_environment, write_job

__all__ = ["LOSSES", "RESTARTS", "cut_back", "note_loss", "now", "status"]

RESTARTS, LOSSES = "restarts", "losses"


def cut_back(
    path: Path,
    aside: Path,
    step: int,
    job_text: str,
    job: Mapping[str, object],
    environment: Mapping[str, object],
) -> None:
    """Make the file `aside` out of `path`: the rows and models up to `step`, as of a run that has just come so far."""
    with Content(path) as content, h5py.File(content, "r") as file:
        read_texts(file)
        file.visititems(lambda _, item: read_texts(item))
    shutil.copyfile(path, aside)
    with h5py.File(aside, "r+", locking=False) as file:
        committed = dict(zip(TABLES, file.attrs["committed"].tolist()))
        for name in TABLES:
            steps = file[name]["step"][: committed[name]]
            committed[name] = int((steps <= step).sum())
            for column in file[name].values():
                column.resize(committed[name], 0)
        file.attrs.modify("committed", np.array(list(committed.values())))
        file.attrs.modify("status", status("running"))
        cut_own(file["clients"], step)
        cut_metrics(file, step)
        kept = sorted(map(int, file["model"]))
        for later in (found for found in kept if found > step):
            del file["model"][str(later)]
        file["model"].attrs.modify("latest", max([found for found in kept if found <= step], default=-1))
        if "end_time" in file:
            del file["end_time"]
        attributes = dict(file["job"].attrs)
        del file["job"]
        file.create_group("job").attrs.update(attributes)
        write_job(file["job"], job_text, job)
        restarts = file["environment"].require_group(RESTARTS)
        group = restarts.create_group(str(len(restarts)))
        write_environment(group, {**environment, "step": step, "time": now()})
    sync(aside)


def read_texts(item: h5py.Group | h5py.Dataset) -> None:
    """Read the texts of a place, so that damage among them shows before anything is changed there."""
    for name in item.attrs:
        item.attrs[name]
    if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype):
        item[()]


def note_loss(environment: h5py.Group, step: int, rank: int, why: str) -> None:
    """Another element of /environment/losses: the rank that was lost, and the step that was in hand."""
    losses = environment.require_group(LOSSES)
    group = losses.create_group(str(len(losses)))
    write_environment(group, {"rank": rank, "step": step, "time": now(), "reason": why})


def status(word: str) -> np.ndarray:
    """Of one size, so that a later word fits in the place of the first."""
    return np.array(word.encode(), h5py.string_dtype("utf-8", 16))


def now() -> str:
    """The time, as result files have it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
