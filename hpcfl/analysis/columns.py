"""The tables of one run or of many as plain columns, one observation a row; pandas is not needed for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfl.checkpoint.identity import flat, is_free
from hpcfl.results import Reader
from hpcfl.results.format import CLIENTS, METRICS, OWN
from hpcfl.results.format import TABLES as STORED

__all__ = ["TABLES", "Columns", "differing", "labels", "settings", "table", "words"]

Columns = dict[str, np.ndarray]

TABLES = ("rounds", "events", "failures", "clients", "classes", "own", "metrics")
"""What can be read as a table."""


def table(run: Reader, name: str) -> Columns:
    """The columns of a table, all of one length; empty where the file has none of it.

    rounds, events, failures: as the file has them. clients: a row per client. classes: a row per client, a column per
    label. own: a row per evaluation and client, of the client's own model. metrics: a row per value that a strategy
    with Flower's methods, or one of its clients, told.
    """
    clients = run.clients
    if name == "metrics":
        return dict(run.metrics) or {column.name: np.zeros(0, column.dtype) for column in METRICS}
    if name == "own":
        return _long(run)
    if name == "classes":
        if "classes" not in clients:
            return {}
        return {"client": clients["client"], **dict(zip(clients["label"].tolist(), clients["classes"].T))}
    if name == "clients":
        return {key: clients[key] for key in _ordered(clients, ("client", *CLIENTS)) if key not in ("classes", "label")}
    found: Mapping[str, np.ndarray] = getattr(run, name)
    return {key: found[key] for key in _ordered(found, [column.name for column in STORED[name]])}


def words(values: np.ndarray) -> np.ndarray:
    """The names of an enumeration's codes; everything else as it is."""
    names = h5py.check_enum_dtype(values.dtype)
    if names is None:
        return values
    known = {code: word for word, code in names.items()}
    return np.array([known.get(code, str(code)) for code in range(256)], object)[values]


def settings(job: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved job as one value per key, as --set takes them: a component's name stands at its own key."""
    found = {}
    for key, value in flat(job).items():
        key = key.replace(".params.", ".").removesuffix(".name")
        if not (key.endswith(".params") and value == {}):
            found[key] = json.dumps(value) if isinstance(value, list | dict) else value
    return found


def differing(jobs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys in which resolved jobs differ, each with its value in every job, None where a job has no such key.

    Keys that decide no number of a run (its name, where its results go, ...) are left out. A key that is a number in
    one job and a list or a word in another is told in words, as JSON has them: a column is of one type.
    """
    found = [settings(job) for job in jobs]
    keys = sorted({key for job in found for key in job})
    table = {key: [job.get(key) for job in found] for key in keys if not is_free(key)}
    return {key: _of_one_type(values) for key, values in table.items() if len(set(map(repr, values))) > 1}


def labels(paths: Sequence[Path]) -> list[str]:
    """What to call each run: its file's name without .h5, and its path where two would have the same."""
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths)]


def _of_one_type(values: list[Any]) -> list[Any]:
    types = {float if type(value) is int else type(value) for value in values if value is not None}
    if len(types) < 2:
        return values
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _long(run: Reader) -> Columns:
    own = run.own
    if not own:
        return {name: np.zeros(0) for name in ("step", "client", *OWN)}
    steps, count = own["step"], len(run.clients["client"])
    return {
        "step": np.repeat(steps, count),
        "client": np.tile(run.clients["client"], len(steps)),
        **{name: own[name].reshape(-1) for name in own if name != "step"},
    }


def _ordered(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str]:
    """As the page of the format has them, which HDF5 forgets; columns of a newer minor version come last."""
    return [*(name for name in names if name in columns), *(name for name in columns if name not in names)]
