"""Whose classes a strategy is spoken to in: hpcfl's, whose parameters are views, or flwr's, whose are bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy

from hpcfl.flower import nouns

__all__ = ["OURS", "Dialect", "dialect_of", "flwrs"]


@dataclass(frozen=True)
class Dialect:
    """What the messages of a round are made of."""

    parameters: Callable[[Sequence[np.ndarray]], Any]
    arrays: Callable[[Any], list[np.ndarray]]
    """TypeError or ValueError where these are no parameters."""
    words: Any
    """Where FitIns, FitRes, EvaluateIns, EvaluateRes, Status and Code are found."""

    @property
    def ok(self) -> Any:
        """The status of work that was done."""
        return self.words.Status(self.words.Code.OK, "Success")


def ours(parameters: Any) -> list[np.ndarray]:
    """The arrays of our own Parameters, or of flwr's: a strategy of ours may have been given some."""
    tensors = getattr(parameters, "tensors", None)
    if not isinstance(tensors, list):
        raise TypeError(f"{parameters!r:.60}, which is no Parameters")
    return [read(tensor) if isinstance(tensor, bytes) else tensor for tensor in tensors]


OURS = Dialect(nouns.ndarrays_to_parameters, ours, nouns)


def flwrs() -> Dialect:
    """flwr's, which must be installed. Arrays go to bytes and back with one copy in all, where flwr makes several."""
    from flwr import common

    def parameters(arrays: Sequence[np.ndarray]) -> Any:
        return common.Parameters(tensors=[written(array) for array in arrays], tensor_type="numpy.ndarray")

    return Dialect(parameters, ours, common)


def dialect_of(strategy: Any) -> Dialect:
    """That of a strategy (or its class): flwr's where it descends from flwr's Strategy."""
    kind = strategy if isinstance(strategy, type) else type(strategy)
    return flwrs() if any(base.__module__.partition(".")[0] == "flwr" for base in kind.__mro__) else OURS


def written(array: np.ndarray) -> bytes:
    """The array in NumPy's .npy format, as flwr has it."""
    head, whole = io.BytesIO(), np.asarray(array, order="C")
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(whole))
    return b"".join((head.getvalue(), memoryview(whole.reshape(-1)).cast("B") if whole.size else b""))


def read(tensor: bytes) -> np.ndarray:
    """The array of `written`, a view that cannot be written to; ValueError if it is none, or of objects."""
    file = io.BytesIO(tensor)
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if header is None:
        raise ValueError("bytes that are no .npy of version 1 or 2")
    shape, by_columns, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    flat = np.frombuffer(tensor, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if by_columns else "C")
