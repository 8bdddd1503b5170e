"""The file of a run that goes on: what came after its checkpoint is taken away, and where it goes on is noted."""

import shutil
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

from hpcfl.content import Content
from hpcfl.results.files import sync
from hpcfl.results.format import TABLES
from hpcfl.results.sections import cut_metrics, cut_own, take_away, write_environment, write_job

__all__ = ["JOINS", "LOSSES", "RESTARTS", "cut_back", "note", "now", "put_back", "remark", "status"]

RESTARTS, LOSSES, JOINS, STORAGE = "restarts", "losses", "joins", "storage"


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
        list(file["model"])  # its names alone: a model may be half there
        for item in (item for name, item in file.items() if name != "model"):
            read_texts(item)
            if isinstance(item, h5py.Group):
                item.visititems(lambda _, inner: read_texts(inner))
    shutil.copyfile(path, aside)
    with h5py.File(aside, "r+", locking=False) as file:
        cut(file, step)
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


def note(file: h5py.File, name: str, facts: Mapping[str, object]) -> None:
    """Another element of a list in /environment, say of its losses, with the time."""
    elements = file["environment"].require_group(name)
    write_environment(elements.create_group(str(len(elements))), {**facts, "time": now()})
    file.flush()


def put_back(source: Path, aside: Path, step: int, again: Collection[int]) -> None:
    """Make the file `aside` out of one that could not be written on: what it had after `step`, without the models of
    the steps `again`, which may be half there.
    """
    shutil.copyfile(source, aside)
    with h5py.File(aside, "r+", locking=False) as file:
        cut(file, step, again)
    sync(aside)


def remark(file: h5py.File, what: str) -> None:
    """Say in /environment/storage what happened to the file."""
    group = file["environment"]
    said = group.pop(STORAGE).asstr()[()].tolist() if STORAGE in group else []
    write_environment(group, {STORAGE: [*said, f"{now()} {what}"]})
    file.flush()


def cut(file: h5py.File, step: int, again: Collection[int] = ()) -> None:
    """Take away the rows and models that came after a step, and the models of the steps `again`."""
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
    kept = {int(name) for name in file["model"]}
    gone = {found for found in kept if found > step or found in again}
    for later in gone:
        take_away(file["model"], later)
    file["model"].attrs.modify("latest", max(kept - gone, default=-1))


def status(word: str) -> np.ndarray:
    """Of one size, so that a later word fits in the place of the first."""
    return np.array(word.encode(), h5py.string_dtype("utf-8", 16))


def now() -> str:
    """The time, as result files have it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
