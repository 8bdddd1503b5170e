"""What a strategy keeps in its own attributes, as named tensors: so a checkpoint holds it like any other state.

Arrays are tensors that share their memory; what else there is stands in one JSON text. A strategy that keeps something
else, say an open file, cannot be resumed, and the text says why not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpcfl.errors import JobError
from hpcfl.flower import nouns
from hpcfl.flower.scalars import pack, unpack

__all__ = ["KEY", "lacking", "recall", "remember"]

KEY = "strategy"
"""Of the text; the tensors are strategy.0, strategy.1, ..."""
AS_BUILT = "as built"
"""Stands for the functions and classes that a strategy was given: whatever was built anew has them."""


def remember(strategy: Any) -> dict[str, Tensor]:
    """A strategy's attributes, and those of strategies inside it."""
    tensors: list[Tensor] = []
    try:
        text = written(strategy, type(strategy).__name__, tensors)
    except TypeError as failure:
        return {KEY: pack({"lacks": str(failure)})}
    return {KEY: pack(text), **{f"{KEY}.{number}": tensor for number, tensor in enumerate(tensors)}}


def lacking(state: Mapping[str, Tensor]) -> str:
    """Why these attributes cannot be recalled; nothing if they can."""
    return unpack(state[KEY]).get("lacks", "") if KEY in state else "it was made without"


def recall(strategy: Any, state: Mapping[str, Tensor]) -> None:
    """Give a strategy that was built anew its attributes back; JobError where they could not be kept."""
    if why := lacking(state):
        raise JobError(f"checkpoint.resume: the checkpoint has not all that the strategy knew: {why}")
    restored(unpack(state[KEY]), state, strategy)


def written(value: Any, place: str, tensors: list[Tensor]) -> Any:
    """A value as JSON; arrays and bytes are put among the tensors. TypeError for what is none of the known kinds."""
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"float": repr(value)}
    if isinstance(value, np.ndarray | np.generic):
        tensors.append(torch.from_numpy(np.require(value, requirements=["C", "W"])))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(tensors) - 1}
    if isinstance(value, Tensor):
        tensors.append(value.detach())
        return {"tensor": len(tensors) - 1}
    if kind is bytes:
        tensors.append(torch.from_numpy(np.frombuffer(value, np.uint8).copy()))
        return {"bytes": len(tensors) - 1}
    if kind in (list, tuple):
        return {kind.__name__: [written(item, f"{place}[{number}]", tensors) for number, item in enumerate(value)]}
    if kind is dict:
        pairs = [
            (written(key, place, tensors), written(item, f"{place}[{key!r}]", tensors)) for key, item in value.items()
        ]
        return {"dict": pairs}
    if is_record(value):
        parts = [(name, (array.dtype, list(array.shape), array.stype, array.data)) for name, array in value.items()]
        return {"record": written(parts, place, tensors)}
    if kind.__name__ == "Parameters":
        words = "ours" if kind is nouns.Parameters else "theirs"
        return {words: written([value.tensors, value.tensor_type], place, tensors)}
    if not (hasattr(value, "aggregate_fit") or hasattr(value, "aggregate_train")):
        raise TypeError(f"{place} is a {kind.__name__}, which a checkpoint cannot hold")
    own = {name: item for name, item in vars(value).items() if name not in getattr(value, "PASSING", ())}
    return {"strategy": {
        name: {AS_BUILT: 0} if is_code(item) else written(item, f"{place}.{name}", tensors)
        for name, item in own.items()
    }}  # fmt: skip


def restored(text: Any, state: Mapping[str, Tensor], built: Any = None) -> Any:
    """The value of `written`. `built`: what stands in its place in a strategy that was built anew."""
    if not isinstance(text, dict):
        return text
    ((kind, inner),) = text.items()
    if kind == "strategy":
        for name, item in inner.items():
            setattr(built, name, restored(item, state, getattr(built, name, None)))
    if kind in ("strategy", AS_BUILT):
        return built
    if kind == "float":
        return float(inner)
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](restored(item, state) for item in inner)
    if kind == "dict":
        return {restored(key, state): restored(item, state) for key, item in inner}
    if kind in ("ours", "theirs"):
        return words_of(kind)(*restored(inner, state))
    if kind == "record":
        return record_of(restored(inner, state))
    tensor = state[f"{KEY}.{inner}"].clone()  # a run that goes on may change it
    if kind == "tensor":
        return tensor
    array = tensor.cpu().numpy()
    return {"array": lambda: array, "scalar": lambda: array[()], "bytes": array.tobytes}[kind]()


def is_code(value: Any) -> bool:
    """Whether it is a function or a class, which have names; what only can be called, a module say, has values too."""
    return callable(value) and (hasattr(value, "__name__") or isinstance(value, partial))


def is_record(value: Any) -> bool:
    """Whether it is one of flwr's ArrayRecords."""
    return type(value).__name__ == "ArrayRecord" and type(value).__module__.startswith("flwr")


def record_of(parts: Any) -> Any:
    """The ArrayRecord of its parts."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(dtype, tuple(shape), stype, data) for name, (dtype, shape, stype, data) in parts})


def words_of(kind: str) -> Any:
    """Whose Parameters: ours, or theirs."""
    if kind == "ours":
        return nouns.Parameters
    from flwr.common import Parameters

    return Parameters
