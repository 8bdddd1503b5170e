"""What a reader relies on in a result file: the form of its tables and of the job, checked before anyone uses them.

Files are exchanged, and a file that HDF5 can read may still hold anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5o, h5t

from hpcfl.results.format import CLIENTS, METRICS, OWN, SHARING, TABLES

__all__ = [
    "check_clients", "check_facts", "check_job", "check_metrics", "check_own", "check_sharing", "check_tables",
    "require",
]  # fmt: skip

NUMBERS, WHOLE, TEXT = "iuf", "iu", "S"
"""Kinds of NumPy's types."""
NEEDED = {
    "rounds": ("step", "time", "wall", "accuracy", "loss", "train_loss", "examples", "clients", "failures", "staleness",
               "bytes_up", "bytes_down", "client_bytes_up", "client_bytes_down", "training", "communicating",
               "aggregating", "evaluating"),
    "events": ("step", "client", "version", "start", "finish", "rank", "examples", "steps", "loss", "status"),
    "failures": ("step", "client", "rank", "reason"),
}  # fmt: skip
"""Columns of version 1.0; the others came later, and may be missing."""
SECTIONS = ("data", "partition", "model", "strategy", "schedule")
"""Of a job: a table, or the name of a component."""
PARTS = ("client", "privacy", "faults")
"""Of a job: a table."""
PRIVACY = ("clip", "noise", "delta")
FACTS = {"startup": NUMBERS, "step": WHOLE, "rank": WHOLE, "time": TEXT, "reason": TEXT}
LISTS = ("argv", "devices", "hosts")
"""Facts of an environment that commands do more with than to print them: kinds of the numbers and texts, and texts."""


KINDS = {h5t.INTEGER: "i", h5t.ENUM: "u", h5t.FLOAT: "f", h5t.STRING: "S"}
"""HDF5's classes of types, as kinds of NumPy's; O for all that no column is of."""


def require(holds: bool, what: str) -> None:
    """ValueError that says `what` is wrong."""
    if not holds:
        raise ValueError(what)


def check_tables(file: h5py.File) -> dict[str, int]:
    """The rows of each table that are wholly there: so many are committed, and in every column.

    ValueError, KeyError or TypeError where a table is none.
    """
    committed = np.asarray(file.attrs["committed"])
    require(committed.shape == (len(TABLES),) and committed.dtype.kind in "iu" and committed.min() >= 0,
            "its attribute `committed` is not the number of rows of each table")  # fmt: skip
    rows = dict(zip(TABLES, committed.tolist()))
    for name, columns in TABLES.items():
        require(isinstance(file[name], h5py.Group), f"/{name} is no table")
        group, kinds = file[name].id, {column.name: kind_of(column.dtype) for column in columns}
        there = [column.decode() for column in group]
        lacking = [column for column in NEEDED[name] if column not in there]
        require(not lacking, f"/{name} lacks {', '.join(lacking)}")
        for column in there:
            shape, kind = told(group, column)
            rows[name] = min(rows[name], (shape or (0,))[0])
            fits = len(shape) == 1 and kind in kinds[column] if column in kinds else shape
            require(fits, f"/{name}/{column} is {kind}{shape}, which is no such column")
    return rows


def told(group: h5py.h5g.GroupID, name: str) -> tuple[tuple[int, ...], str]:
    """Shape and kind of a dataset; KeyError or TypeError where there is none of the name."""
    # a file has many columns, and h5py's own objects for them would cost as much as reading what is asked for
    dataset = h5d.open(group, name.encode())
    return dataset.shape or (), KINDS.get(dataset.get_type().get_class(), "O")


def kind_of(dtype: Any) -> str:
    """The kinds of NumPy's types that may stand for one of the format."""
    kind = np.dtype(dtype).kind
    return TEXT if kind in "OS" else WHOLE if kind in WHOLE else NUMBERS


def check_clients(group: h5py.Group) -> None:
    """ValueError unless the columns of /clients are of one length."""
    ids = [name for name in group.id if h5o.get_info(group.id, name).type == h5o.TYPE_DATASET]
    shapes = {name.decode(): told(group.id, name.decode()) for name in ids}
    count = (shapes["client"][0] or (0,))[0]
    require("classes" not in shapes or "label" in shapes, "/clients has classes, but no label to name them")
    for name, (shape, kind) in shapes.items():
        if name == "label":
            fits = shape == shapes["classes"][0][1:] and kind in TEXT
        elif name in CLIENTS:
            kinds = kind_of(CLIENTS[name].dtype) if CLIENTS[name].dtype else TEXT
            fits = shape[:1] == (count,) and len(shape) == 1 + (name == "classes") and kind in kinds
        else:
            fits = shape[:1] == (count,)
        require(fits, f"/clients/{name} is {kind}{shape}, with {count} clients")


def check_facts(group: h5py.Group, needed: Collection[str] = ()) -> None:
    """ValueError unless the facts of an environment are numbers, texts and lists of texts, the needed among them."""
    ids = [name.decode() for name in group.id if h5o.get_info(group.id, name).type == h5o.TYPE_DATASET]
    lacking = [name for name in needed if name not in ids]
    require(not lacking, f"it lacks {', '.join(lacking)}")
    for name in ids:
        shape, kind = told(group.id, name)
        one = shape == () and name not in LISTS and kind in FACTS.get(name, NUMBERS + TEXT)
        several = len(shape) == 1 and name not in FACTS and kind in TEXT
        require(one or several, f"its {name} is {kind}{shape}, which is no such fact")


def check_own(file: h5py.File) -> None:
    """ValueError unless /clients/own has a row for each evaluation, and in it a number for each client."""
    group, clients = file["clients/own"], len(file["clients/client"])
    for name in ("step", "loss", "accuracy", *(name for name in OWN if name in group)):
        shape, kind = told(group.id, name)
        steps = name == "step"
        fits = kind in (WHOLE if steps else NUMBERS) and shape[1:] == (() if steps else (clients,)) and shape
        require(fits, f"/clients/own/{name} is {kind}{shape}, with {clients} clients")
        require(group[name].maxshape[0] is None, f"/clients/own/{name} cannot grow")


def check_metrics(file: h5py.File) -> None:
    """ValueError unless /metrics has all of its columns."""
    for column in METRICS:
        shape, kind = told(file["metrics"].id, column.name)
        require(len(shape) == 1 and kind in kind_of(column.dtype), f"/metrics/{column.name} is {kind}{shape}")
        require(file["metrics"][column.name].maxshape[0] is None, f"/metrics/{column.name} cannot grow")


def check_sharing(group: h5py.Group) -> None:
    """ValueError unless every tensor and every architecture has a row."""
    kinds = {"tensor": TEXT, "architecture": TEXT, "shape": TEXT}
    tensors, architectures = (len(group[name]) for name in ("tensor", "architecture"))
    shapes = dict.fromkeys((column.name for column in SHARING), (tensors,))
    shapes |= {"architectures": (tensors, architectures), "architecture": (architectures,), "clients": (architectures,)}
    for name, shape in shapes.items():
        found, kind = told(group.id, name)
        require(found == shape and kind in kinds.get(name, NUMBERS), f"/sharing/{name} is {kind}{found}, not {shape}")


def check_job(job: Mapping[str, Any]) -> None:
    """ValueError unless what commands take of a job is of its kind; what else it may say is the schema's business."""
    for key, kind in (("name", str), ("rounds", int), ("seed", int), ("clock", str)):
        require(isinstance(job.get(key, kind()), kind), f"its {key} is {job.get(key)!r}")
    for key in SECTIONS:
        section = job.get(key)
        require(isinstance(section, dict | str | None), f"its {key} is {section!r}")
        if isinstance(section, dict):
            require(isinstance(section.get("name", ""), str), f"its {key}.name is {section.get('name')!r}")
    for key in PARTS:
        require(isinstance(job.get(key), dict | None), f"its {key} is {job.get(key)!r}")
    privacy = job.get("privacy") or dict.fromkeys(PRIVACY, 0)
    odd = [key for key in PRIVACY if not isinstance(privacy.get(key), int | float)]
    require(not odd, f"its privacy.{', privacy.'.join(odd)} is no number")
    models = (job.get("client") or {}).get("models", [])
    require(isinstance(models, list) and all(isinstance(model, dict) for model in models), "its client.models are none")
    check_params(job)


def check_params(table: Mapping[str, Any], above: str = "") -> None:
    """ValueError where `params`, of whatever component, are no table."""
    for key, value in table.items():
        if isinstance(value, dict):
            check_params(value, f"{above}{key}.")
        else:
            require(key != "params" or not above, f"its {above}{key} are {value!r}")
