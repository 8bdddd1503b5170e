"""Layers that a job names: where they lie in the model's vector."""

from __future__ import annotations

import torch
from torch import Tensor

from hpcfl.errors import JobError
from hpcfl.flat import Layout

__all__ = ["inside", "spans"]


def spans(key: str, layout: Layout, names: list[str] | None) -> Tensor:
    """(tensors, 2) int64: where each tensor of the layers `names` begins and ends; None is the last trained layer.

    A name is that of a module or of a tensor. JobError, with `key`, for a name that is neither, or if the layers are
    the whole model.
    """
    entries = [entry for entry in layout.entries if entry.kind != "constant"]
    last = [entry.name for entry in entries if entry.kind == "parameter"][-1].rpartition(".")[0]
    found: set[tuple[int, int]] = set()
    for name in [last] if names is None else names:
        named = [entry for entry in entries if f"{entry.name}.".startswith(f"{name}.")]
        found |= {(entry.offset, entry.offset + entry.size) for entry in named}
        if not named or sum(end - begin for begin, end in found) == layout.size:
            wrong = "leaves no other layer" if named else "is no layer of the model"
            raise JobError(f"{key}: {name!r} {wrong}; there are {', '.join(entry.name for entry in entries)}")
    return torch.tensor(sorted(found), dtype=torch.int64).view(-1, 2)


def inside(places: Tensor, size: int) -> Tensor:
    """(size,) bool: which elements of the vector lie in the spans."""
    mask = torch.zeros(size, dtype=torch.bool, device=places.device)
    for begin, end in places.tolist():
        mask[begin:end] = True
    return mask
