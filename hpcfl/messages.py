"""A message between ranks: int64 words, then tensors. Nothing is pickled, and a wrong length cannot be mistaken.

What is heard is checked before it is used: memory that no machine has is a ValueError. Words are NumPy's: every
operation of torch lets another thread have the interpreter, and waiting to have it back costs many times what there is
to do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "DTYPES",
    "HEAD",
    "REASON",
    "alike",
    "decode_reason",
    "decode_shape",
    "empty",
    "encode_reason",
    "hear",
    "say",
    "table",
]

DTYPES = (torch.float32, torch.float64, torch.int64, torch.uint8)
NUMPY = dict(zip(DTYPES, (np.float32, np.float64, np.int64, np.uint8)))
HEAD = 1 << 13
"""Words of the message that begins everything: it holds all of an order or answer for a small model."""
REASON = 512
"""Bytes of a failure's reason, padded."""
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
"""Bytes of this machine: more of them are announced by nobody."""


def decode_shape(words: Sequence[int]) -> tuple[int, ...]:
    """A shape that came as its number of dimensions, then their sizes, then anything."""
    dimensions, sizes = words[0], words[1:]
    if not 0 <= dimensions <= len(sizes) or min(sizes[:dimensions], default=0) < 0:
        raise ValueError(f"{list(words)} is no shape: it should be the number of dimensions, then their sizes")
    return tuple(sizes[:dimensions])


def empty(shape: Sequence[int], dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """Memory for what is announced; ValueError where this machine has not so much."""
    size = math.prod(shape) * dtype.itemsize
    try:
        if max(shape, default=0) > MEMORY or size > MEMORY:
            raise RuntimeError
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    except RuntimeError:
        raise ValueError(f"a message announces a tensor {tuple(shape)} of {size:,} bytes: no memory for it") from None


def say(words: np.ndarray, tensors: Sequence[Tensor], send: Callable[[Tensor], None]) -> None:
    """Give int64 words and tensors to `hear`: in one message of HEAD words what fits in it, then the rest.

    A message costs both ends more than the 64 KB in it.
    """
    head = np.zeros(HEAD, np.int64)
    head[0] = len(words)
    used = min(HEAD, 1 + len(words))
    head[1:used] = words[: used - 1]
    places, outside = _dealt(head[used:], tensors)
    for place, tensor in places:
        place.copy_(tensor)
    send(torch.from_numpy(head))
    if used <= len(words):
        send(torch.from_numpy(words[used - 1 :]))
    for tensor in outside:
        send(tensor)


def hear(recv: Callable[[Tensor], None], tensors: Callable[[np.ndarray], Sequence[Tensor]]) -> np.ndarray:
    """The words of `say`; its tensors go into `tensors(words)`, and `recv(tensor)` fills one with the next message."""
    message = torch.from_numpy(np.zeros(HEAD, np.int64))
    recv(message)
    head = message.numpy()  # only now: where memory is shared, it may lie elsewhere
    length = int(head[0])
    if length < 0:
        raise ValueError(f"a message of {length} words was announced; valid is 0 or more")
    words, room = head[1 : 1 + length], head[1 + length :]
    if length >= HEAD:
        rest = empty((length - len(words),), torch.int64)
        recv(rest)
        words = np.concatenate([words, rest.numpy()])
    places, outside = _dealt(room, tensors(words))
    for place, tensor in places:
        tensor.copy_(place)
    for tensor in outside:
        recv(tensor)
    return words


def _dealt(room: np.ndarray, tensors: Sequence[Tensor]) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """(place in the room, tensor) of those that fit in, one after the other, and the others."""
    places, outside = [], []
    for tensor in tensors:
        size = tensor.nbytes
        if size <= room.nbytes:
            place = room.view(np.uint8)[:size].view(NUMPY[tensor.dtype]).reshape(tensor.shape)
            places.append((torch.from_numpy(place), tensor))
            room = room[-(-size // 8) :]
        else:
            outside.append(tensor)
    return places, outside


def alike(rows: Sequence[Tensor]) -> list[Tensor]:
    """Tensors (..., n) of bytes with zeros behind the shorter ones."""
    longest = max(row.shape[-1] for row in rows)
    return [torch.nn.functional.pad(row, (0, longest - row.shape[-1])) for row in rows]


def encode_reason(reason: str) -> Tensor:
    """(REASON,) uint8."""
    text = reason.encode(errors="replace")[:REASON].ljust(REASON, b"\0")
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def decode_reason(row: Tensor) -> str:
    """The text of `encode_reason`."""
    return bytes(row.tolist()).rstrip(b"\0").decode(errors="replace")


def table(words: list[int], width: int) -> Iterator[tuple[int, ...]]:
    """The words in rows."""
    return zip(*[iter(words)] * width)
