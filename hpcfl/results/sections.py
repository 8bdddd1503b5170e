"""The parts of the result file that are written once: the job, the environment, the clients, and each kept model."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5o

from hpcfl.results.format import CLIENTS, METRICS, OWN, PARTITION, REASON_BYTES, SHARING, STATUS
from hpcfl.results.table import Table, describe, share_dimension

# One tensor of a model: its name, shape, kind ("parameter", "buffer" or "constant"), and its place: where it starts in
# the vector, or for a constant, which is not in the vector, its value.
Tensor = tuple[str, Sequence[int], str, object]


def write_job(group: h5py.Group, text: str, job: Mapping[str, object]) -> None:
    """The job file as it was read, and what it came to mean once defaults and overrides were filled in."""
    resolved = json.dumps(job, sort_keys=True, default=str)
    group["text"] = _clean(text)
    group["resolved"] = resolved
    group["sha256"] = hashlib.sha256(resolved.encode()).hexdigest()
    group["name"] = _clean(str(job.get("name", "")))
    if "seed" in job:
        group["seed"] = job["seed"]


def write_environment(group: h5py.Group, environment: Mapping[str, object]) -> None:
    """One dataset per name: attributes would end at 64 KiB, which the hosts of a large job exceed."""
    for name, value in environment.items():
        if isinstance(value, bool | int | float):
            group[name] = value
        elif isinstance(value, list | tuple):
            group.create_dataset(name, data=[_clean(str(item)) for item in value], dtype=h5py.string_dtype())
        elif value is not None:
            group[name] = _clean(str(value))


def write_clients(group: h5py.Group, columns: Mapping[str, np.ndarray], labels: Sequence[str]) -> None:
    """A row per client; the label distribution is a second dimension."""
    count = len(next(iter(columns.values()), ()))
    group["client"] = np.arange(count)
    for name, values in columns.items():
        values = np.asarray(values)
        if values.dtype.kind in "OU":
            values = fixed([str(value) for value in values])
        dataset = group.create_dataset(name, data=values, dtype=values.dtype)
        share_dimension(dataset, 0, group["client"])
        if values.ndim == 2:
            if "label" not in group:
                group["label"] = fixed(list(labels) or [str(label) for label in range(values.shape[1])])
            share_dimension(dataset, 1, group["label"])
        describe(dataset, CLIENTS[name])


def apart(step: float, events: Sequence[Mapping[str, object]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of /events and those of /failures."""
    updates, failures = [], []
    for event in events:
        update = {**event, "step": step, "status": STATUS[event["status"]]}
        if reason := update.pop("reason", ""):
            reason = fixed([reason], REASON_BYTES)[0]
            failures.append({name: update[name] for name in ("step", "client", "rank")} | {"reason": reason})
        updates.append(update)
    return updates, failures


def append_metrics(file: h5py.File, rows: Sequence[Mapping[str, object]], chunk: int) -> None:
    """Rows of /metrics. The first call makes the table."""
    sizes = {column.name: column.dtype.itemsize for column in METRICS if isinstance(column.dtype, np.dtype)}
    group = file.require_group("metrics")
    group.attrs["NX_class"] = "NXcollection"
    cut = [{**row, **{name: fixed([row[name]], size)[0] for name, size in sizes.items()}} for row in rows]
    Table(group, METRICS, chunk).append(cut)


def append_own(clients: h5py.Group, step: int, rows: Mapping[str, np.ndarray]) -> None:
    """A row of /clients/own: how each client's own model did after `step`. The first call makes the group."""
    if "own" not in clients:
        group = clients.create_group("own")
        group.attrs.update({"NX_class": "NXdata", "signal": "accuracy", "axes": ["step", "client"]})
        group.create_dataset("step", (0,), "<i8", maxshape=(None,), chunks=(512,))
        for name, column in ((name, OWN[name]) for name in rows):
            shape = (0, len(clients["client"]))
            chunks = (max(1, 4096 // shape[1]), shape[1])
            dataset = group.create_dataset(name, shape, column.dtype, maxshape=(None, shape[1]), chunks=chunks)
            describe(dataset, column)
            share_dimension(dataset, 0, group["step"])
            share_dimension(dataset, 1, clients["client"])
        group["client"] = clients["client"]
    group = clients["own"]
    row = len(group["step"])
    for name, values in {**rows, "step": step}.items():
        group[name].resize(row + 1, 0)
        group[name][row] = values


def cut_own(clients: h5py.Group, last_step: int) -> None:
    """Take away rows of /clients/own of later steps, which a run that was interrupted did not commit."""
    if "own" in clients:
        group = clients["own"]
        rows = int((group["step"][:] <= last_step).sum())
        for name in ("step", *OWN):
            if name in group:
                group[name].resize(rows, 0)


def cut_metrics(file: h5py.File, last_step: int) -> None:
    """Take away rows of /metrics of later steps, and what a kill left of a row."""
    if "metrics" in file:
        columns = [file["metrics"][column.name] for column in METRICS]
        rows = int((columns[0][: min(map(len, columns))] <= last_step).sum())
        for column in columns:
            column.resize(rows, 0)


def write_partition(group: h5py.Group, owner: np.ndarray) -> None:
    """Which client holds each training sample: what the next run needs to deal them in the same way."""
    dataset = group.create_dataset(PARTITION.name, data=np.asarray(owner, PARTITION.dtype), chunks=True)
    describe(dataset, PARTITION)


def write_sharing(group: h5py.Group, family: Any) -> None:
    """Which tensors the architectures have in common, and which of these are averaged."""
    group["architecture"] = fixed(family.names)
    group["clients"] = np.array(family.clients, "<i8")
    slots = family.slots
    members = np.zeros((len(slots), len(family.names)), np.uint8)
    for row, slot in zip(members, slots):
        row[list(slot.members)] = 1
    columns = (
        fixed([slot.name for slot in slots]), fixed(["x".join(map(str, slot.shape)) for slot in slots]),
        np.array([slot.size for slot in slots], "<i8"), np.array([slot.averaged for slot in slots], np.uint8), members,
    )  # fmt: skip
    for column, values in zip(SHARING, columns):
        describe(group.create_dataset(column.name, data=values, dtype=values.dtype), column)
    for column in SHARING:
        share_dimension(group[column.name], 0, group["tensor"])
    share_dimension(group["architectures"], 1, group["architecture"])
    share_dimension(group["clients"], 0, group["architecture"])


def write_model(file: h5py.File, step: int, name: str, vector: np.ndarray, layout: Sequence[Tensor]) -> None:
    """The vector, and as JSON where in it each tensor lies, or the value of one that is not in it."""
    tensors = []
    for tensor_name, shape, kind, place in layout:
        tensor = {"name": tensor_name, "shape": list(shape), "kind": kind}
        if kind == "constant":
            value = np.asarray(place)
            tensor |= {"dtype": str(value.dtype), "value": value.tolist()}
        else:
            tensor |= {"start": place, "stop": place + math.prod(shape)}
        tensors.append(tensor)
    stop = max((tensor.get("stop", 0) for tensor in tensors), default=0)
    if vector.shape != (stop,):
        raise ValueError(f"the layout ends at {stop}, and the vector's shape is {vector.shape}")
    group = file.create_group(None)
    group["vector"] = np.asarray(vector, np.float32)
    group["layout"] = json.dumps(tensors)
    put(file, step, name, group)


def write_state(file: h5py.File, step: int, name: str, values: np.ndarray) -> None:
    """One of the algorithm's own tensors, beside the model."""
    put(file, step, name, file.create_dataset(None, data=values))


def put(file: h5py.File, step: int, name: str, own: h5py.Group | h5py.Dataset) -> None:
    """Let what has no name yet reach the file, then its name in /model, which never leads to what is half there."""
    models, word = file["model"], str(step)
    if word not in models:
        part, own = own, file.create_group(None)
        own[name] = part
    file.flush()
    if word in models:
        models[word][name] = own
    else:
        models[word] = own
    file.flush()


def take_away(models: h5py.Group, step: int) -> None:
    """Remove a step from /model. Of one whose name reached the file and not the count of its names, which HDF5 would
    not remove, the bytes stay: it holds on to itself.
    """
    group = models[str(step)]
    counts = [0 if part is None else h5o.get_info(part.id).rc for part in (group, *group.values())]
    if not all(counts):
        for name in ("self", "again")[counts[0] :]:
            group[name] = group
    del models[str(step)]


def fixed(texts: Sequence[str], size: int = 0) -> np.ndarray:
    """UTF-8 strings of one size in bytes, by default the longest one's: they lie in the table, not in a heap aside."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    size = size or max(map(len, encoded), default=0) or 1
    # A cut may go through a character; what is left of it is dropped.
    whole = [text[:size].decode("utf-8", "ignore").encode() for text in encoded]
    return np.array(whole, h5py.string_dtype("utf-8", size))


def _clean(text: str) -> str:
    """File names may hold bytes that are not UTF-8, and a string in HDF5 no zero byte."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
