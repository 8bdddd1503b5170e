"""Layers, where they lie in the model's vector: those that a job names, those that normalise, and all in order."""

from __future__ import annotations

import torch
from torch import Tensor

from hpcfl.errors import JobError
from hpcfl.flat import Layout

__all__ = ["inside", "layers", "norms", "spans"]


def spans(key: str, layout: Layout, names: list[str] | int | None) -> Tensor:
    """(tensors, 2) int64: where each tensor of the layers `names` begins and ends; a number is so many of the last
    trained layers (modules), and None the last one.

    A name is that of a module or of a tensor. JobError, with `key`, for a name that is neither, or if the layers are
    the whole model.
    """
    entries = [entry for entry in layout.entries if entry.kind != "constant"]
    trained = list(dict.fromkeys(entry.name.rpartition(".")[0] for entry in entries if entry.kind == "parameter"))
    if isinstance(names, int):
        if names >= len(trained):
            raise JobError(f"{key} = {names}: leaves no other layer; there are {len(trained)}: {', '.join(trained)}")
        names = trained[len(trained) - names :]
    found: set[tuple[int, int]] = set()
    for name in trained[-1:] if names is None else names:
        named = [entry for entry in entries if f"{entry.name}.".startswith(f"{name}.")]
        found |= {(entry.offset, entry.offset + entry.size) for entry in named}
        if not named or sum(end - begin for begin, end in found) == layout.size:
            wrong = "leaves no other layer" if named else "is no layer of the model"
            raise JobError(f"{key}: {name!r} {wrong}; there are {', '.join(entry.name for entry in entries)}")
    return torch.tensor(sorted(found), dtype=torch.int64).view(-1, 2)


def norms(layout: Layout) -> Tensor:
    """(tensors, 2) int64: where each tensor of a normalisation layer begins and ends."""
    found = [(entry.offset, entry.offset + entry.size) for entry in layout.entries if entry.norm and entry.offset >= 0]
    return torch.tensor(found, dtype=torch.int64).view(-1, 2)


def layers(layout: Layout) -> Tensor:
    """(tensors, 4) int64: for each tensor its layer (module) by number, in the model's order, its begin and end in the
    vector, and whether it is trained. A tensor with two names belongs to the layer that has it first."""
    numbers: dict[str, int] = {}
    rows: dict[int, tuple[int, int, int, int]] = {}
    for entry in layout.entries:
        if entry.kind != "constant" and entry.offset not in rows:
            number = numbers.setdefault(entry.name.rpartition(".")[0], len(numbers))
            rows[entry.offset] = (number, entry.offset, entry.offset + entry.size, int(entry.offset < layout.trainable))
    return torch.tensor(sorted(rows.values()), dtype=torch.int64)


def inside(places: Tensor, size: int) -> Tensor:
    """(size,) bool: which elements of the vector lie in the spans."""
    mask = torch.zeros(size, dtype=torch.bool, device=places.device)
    for begin, end in places.tolist():
        mask[begin:end] = True
    return mask
