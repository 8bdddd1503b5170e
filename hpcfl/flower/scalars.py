"""Configs and metrics as JSON: what travels between ranks beside tensors, so that nothing is pickled."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["flatten", "pack", "plain", "unpack"]

BYTES = "base64"
"""The one key of what stands for bytes."""


def plain(value: Any, name: str = "") -> Any:
    """A value of a config or of metrics, scalars of NumPy and torch as Python's; TypeError if JSON cannot carry it."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | Tensor) and value.ndim == 0):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}; should be a bool, int, float, str, bytes or a list of these")


def pack(value: Any) -> Tensor:
    """(n,) uint8: the value as JSON, bytes as base64."""
    text = json.dumps(plain(value), default=lambda item: {BYTES: b64encode(item).decode()})
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def unpack(row: Tensor) -> Any:
    """The value of `pack`, whatever zeros follow it."""
    text = row.to(torch.uint8).cpu().numpy().tobytes().rstrip(b"\0").decode()
    return json.loads(text, object_hook=lambda table: b64decode(table[BYTES]) if table.keys() == {BYTES} else table)


def flatten(metrics: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """(name, number, text) of each value, for the result file: text is empty for a number, else the number is NaN."""
    rows: list[tuple[str, float, str]] = []
    for name, value in plain(metrics).items():
        if isinstance(value, list):
            rows += flatten({f"{name}.{place}": item for place, item in enumerate(value)})
        elif isinstance(value, dict):
            rows += flatten({f"{name}.{key}": item for key, item in value.items()})
        elif isinstance(value, bool | int | float):
            rows.append((name, float(value), ""))
        else:
            rows.append((name, float("nan"), b64encode(value).decode() if isinstance(value, bytes) else str(value)))
    return rows
