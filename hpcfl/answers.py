"""What comes back for one job over a channel: the shapes of all uploads, then these, or the reason why not."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hpcfl.messages import decode_reason, encode_reason

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
    channel.send(torch.tensor([*header, *padding], dtype=torch.float64))
    if reason is not None:
        channel.send(encode_reason(reason))
    for _, value in sorted(uploads.items()):
        channel.send(value)


def hear_answer(channel: Any, names: list[str]) -> tuple[list[float], dict[str, Tensor], str | None]:
    """The row, the uploads and the reason of `send_answer`."""
    header = torch.zeros(4 + SHAPE * len(names), dtype=torch.float64)
    channel.recv(header)
    failed, *row = header[:4].tolist()
    if failed:
        text = encode_reason("")
        channel.recv(text)
        return row, {}, decode_reason(text)
    uploads = {}
    for name, shape in zip(names, header[4:].view(-1, SHAPE).long().tolist()):
        uploads[name] = torch.empty(shape[1 : 1 + shape[0]])
        channel.recv(uploads[name])
    return row, uploads, None
