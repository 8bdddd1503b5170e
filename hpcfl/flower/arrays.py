"""A model's vector as Flower's arrays: those of the state_dict in its order, most of them views.

Integer buffers (BatchNorm's num_batches_tracked) are among them, since a Flower client loads arrays by their place.
They are no part of the vector and not averaged: they go out as the model has them, and what comes back is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from hpcfl.flat import Layout

__all__ = ["Arrays"]


class Arrays:
    """Between a vector (P,) and the arrays of one architecture."""

    def __init__(self, layout: Layout, constants: Mapping[str, np.ndarray]):
        """`constants`: what is not in the vector, by name."""
        self._layout, self._constants = layout, constants
        self.names = [entry.name for entry in layout.entries]

    def of(self, vector: Tensor, writable: bool = False) -> list[np.ndarray]:
        """Views of the vector, which is copied first only where it lies on a GPU."""
        flat = vector.detach().cpu().numpy()
        if not writable:
            flat = flat.view()
            flat.flags.writeable = False
        return [
            self._constants[entry.name] if entry.kind == "constant"
            else flat[entry.offset : entry.offset + entry.size].reshape(entry.shape)
            for entry in self._layout.entries
        ]  # fmt: skip

    def fill(self, vector: Tensor, arrays: Sequence[np.ndarray]) -> Tensor:
        """Copy arrays into a vector on the CPU, and return it; ValueError says what about them is wrong."""
        entries, flat = self._layout.entries, vector.numpy()
        if len(arrays) != len(entries):
            raise ValueError(
                f"{len(arrays)} arrays, but the model has {len(entries)} ({', '.join(self.names[:3])} ...)"
            )
        for entry, array in zip(entries, arrays):
            found = np.asarray(array)
            if found.shape != entry.shape:
                raise ValueError(f"an array of shape {found.shape} for {entry.name}, which has shape {entry.shape}")
            if found.dtype.kind not in "fiub":
                raise ValueError(f"an array of {found.dtype} for {entry.name}; should be numbers")
            if entry.kind != "constant":
                flat[entry.offset : entry.offset + entry.size] = found.reshape(-1)
        return vector
