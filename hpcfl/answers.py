"""What comes back for one job over a channel: the shapes of all uploads, then these, or the reason why not."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from hpcfl.messages import decode_reason, decode_shape, empty, encode_reason, hear, say, table

__all__ = ["Answer", "hear_answer", "send_answer"]

SHAPE = 8
"""Words of an upload's shape in an answer: the number of dimensions, then their sizes."""


class Answer(NamedTuple):
    """What came back for a job."""

    row: list[float]
    """[steps, loss, seconds]."""
    uploads: dict[str, Tensor]
    reason: str | None
    """Why there are no uploads, or None."""
    rank: int
    seconds: float
    """From sending the job to having it all."""
    sent_bytes: int


def send_answer(
    channel: Any, names: list[str], row: list[float], uploads: dict[str, Tensor], reason: str | None
) -> None:
    """Send [steps, loss, seconds] and the uploads, whose `names` (sorted) both ends know, or why there are none."""
    shapes = [[value.dim(), *value.shape, *[0] * SHAPE][:SHAPE] for _, value in sorted(uploads.items())]
    header = [float(reason is not None), *row, *(word for shape in shapes for word in shape)]
    padding = [0.0] * (4 + SHAPE * len(names) - len(header))
    words = np.array([*header, *padding], np.float64).view(np.int64)
    tensors = [value for _, value in sorted(uploads.items())] if reason is None else [encode_reason(reason)]
    say(words, tensors, channel.send)


def hear_answer(channel: Any, names: list[str]) -> tuple[list[float], dict[str, Tensor], str | None]:
    """The row, the uploads and the reason of `send_answer`. ValueError if it makes no sense."""
    tensors: list[Tensor] = []

    def expected(words: np.ndarray) -> list[Tensor]:
        if len(words) != 4 + SHAPE * len(names):
            raise ValueError(
                f"an answer with {len(names)} uploads has {4 + SHAPE * len(names)} words, not {len(words)}"
            )
        failed, _, _, _, *sizes = words.view(np.float64).tolist()
        if failed:
            tensors.append(encode_reason(""))
        else:
            whole = [int(size) if math.isfinite(size) else -1 for size in sizes]
            tensors.extend(empty(decode_shape(shape)) for shape in table(whole, SHAPE))
        return tensors

    failed, *row = hear(channel.recv, expected)[:4].view(np.float64).tolist()
    if failed:
        return row, {}, decode_reason(tensors[0])
    return row, dict(zip(names, tensors)), None
