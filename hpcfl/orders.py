"""What rank 0 tells the others about a step: a table of int64 numbers, then each distinct tensor once.

What is heard is checked before it is used: a number that names nothing, or memory that no machine has, is a ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from struct import pack, unpack

import numpy as np
import torch
from torch import Tensor

from hpcfl.core import Job, Send, World
from hpcfl.messages import DTYPES, decode_shape, empty, hear, say, table

__all__ = ["IDLE", "STOP", "Keep", "Order", "decode", "encode", "hear_order", "say_order"]

NAME = 32
"""Bytes of a tensor's name, padded."""
DIMENSIONS = 4
JOB_WORDS = 8
TRAIN = -1
"""In place of the number of jobs after which a client is examined: it is to train. Less the number of its jobs that the
server has combined."""
TENSOR_WORDS = 2 + DIMENSIONS
CONTENT_WORDS = 2 + NAME // 8
IDLE, STOP, KEEP = 0, -1, -2
"""In place of an order's number of jobs: nothing to do for now, or any more; a checkpoint to keep."""
COUNT = 1 << 31
"""No run counts so many jobs of a client."""
LATEST = 1 << 62
"""The greatest number of jobs that an order names: where a client is as it is now, whatever jobs it had."""


@dataclass(frozen=True)
class Order:
    """Jobs, and for each the named tensors that its client receives. Jobs share parcels, parcels share tensors."""

    jobs: tuple[Job, ...]
    parcels: tuple[dict[str, Tensor], ...]
    parcel_of: dict[int, int]
    """client -> the number of its parcel."""
    after: dict[int, int] | None = None
    """client -> after how many of its jobs its own model is examined; None for an order to train."""
    combined: dict[int, int] = field(default_factory=dict)
    """client -> how many of its jobs the server has combined, if any: nobody will ask how it was before."""

    @classmethod
    def of(cls, jobs: Sequence[Job], send: Send, after: dict[int, int] | None = None) -> Order:
        """The order for `jobs`; parcels that hold the very same tensors become one."""
        known: dict[tuple[tuple[str, int], ...], int] = {}
        parcels: list[dict[str, Tensor]] = []
        numbers: dict[int, int] = {}
        for job in jobs:
            parcel = send(job.client)
            key = tuple((name, id(tensor)) for name, tensor in sorted(parcel.items()))
            if key not in known:
                known[key] = len(parcels)
                parcels.append(parcel)
            numbers[job.client] = known[key]
        return cls(tuple(jobs), tuple(parcels), numbers, after)

    @property
    def key(self) -> tuple[int, int, int]:
        """What orders that are due at the same time are sorted by."""
        return self.jobs[0].key

    def sent(self, job: Job) -> dict[str, Tensor]:
        """The parcel of one of the jobs."""
        return self.parcels[self.parcel_of[job.client]]

    def tensors(self) -> list[Tensor]:
        """The distinct tensors: what really travels."""
        return list({id(tensor): tensor for parcel in self.parcels for tensor in parcel.values()}.values())

    @property
    def bytes(self) -> int:
        """Of these tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())


@dataclass(frozen=True)
class Keep:
    """Write down your clients' private state for the checkpoint after a step."""

    step: int
    jobs: tuple[int, ...]
    """For each client after how many of its jobs."""
    key = (-1, -1, -1)
    """Before every order."""


def encode(order: Order) -> np.ndarray:
    """(n,) int64: four counts, then jobs, distinct tensors, and what each parcel holds."""
    tensors = order.tensors()
    place = {id(tensor): number for number, tensor in enumerate(tensors)}
    contents = [
        (number, place[id(tensor)], *_words(name))
        for number, parcel in enumerate(order.parcels)
        for name, tensor in parcel.items()
    ]
    words = [len(order.jobs), len(tensors), len(contents), 0]
    for job in order.jobs:
        after = order.after[job.client] if order.after else TRAIN - order.combined.get(job.client, 0)
        begin, rate, parcel = _bits(job.start), _bits(job.lr or 0.0), order.parcel_of[job.client]
        words += job.client, job.version, job.visit, begin, job.epochs, rate, parcel, after
    for tensor in tensors:
        if tensor.dim() > DIMENSIONS or tensor.dtype not in DTYPES:
            raise ValueError(f"a tensor of {tensor.dtype} {tuple(tensor.shape)} cannot be sent: it must have at most "
                             f"{DIMENSIONS} dimensions and one of the types {DTYPES}")  # fmt: skip
        words += DTYPES.index(tensor.dtype), tensor.dim(), *tensor.shape, *[0] * (DIMENSIONS - tensor.dim())
    words += chain.from_iterable(contents)
    words[3] = len(words) - 4
    return np.array(words, np.int64)


def decode(words: list[int], world: World, device: torch.device) -> Order:
    """The order, its tensors still empty: to be filled in the order of `tensors()`. ValueError if it makes no sense."""
    if len(words) < 4:
        raise ValueError(f"an order begins with four counts, and this one has {len(words)} words")
    (jobs_count, tensors_count, contents_count, length), rows = words[:4], words[4:]
    jobs_end = JOB_WORDS * jobs_count
    tensors_end = jobs_end + TENSOR_WORDS * tensors_count
    counted = min(words[:3]) >= 0 and length == tensors_end + CONTENT_WORDS * contents_count
    if len(rows) != length or not counted:
        raise ValueError(f"an order of {len(rows)} words does not hold {words[:4]}")
    ends = {"client": len(world.everyone), "step": world.rounds + 1, "visit": COUNT, "start": 1 << 63,
            "number of epochs": COUNT, "rate": 1 << 63, "parcel": max(1, jobs_count),
            "number of jobs": LATEST + 1}  # fmt: skip
    for column, (what, end) in enumerate(ends.items()):
        begin = {"start": -end, "number of epochs": 1, "rate": -end, "number of jobs": TRAIN - LATEST}.get(what, 0)
        _check(what, rows[column:jobs_end:JOB_WORDS], end, begin)
    jobs: list[Job] = []
    parcel_of: dict[int, int] = {}
    after: dict[int, int] = {}
    combined: dict[int, int] = {}
    for client, version, visit, start, epochs, rate, parcel, jobs_before in table(rows[:jobs_end], JOB_WORDS):
        begins, lr = _float(start), _float(rate)
        if not (math.isfinite(begins) and math.isfinite(lr) and lr >= 0):
            raise ValueError(f"an order has a job that starts at {begins} with a learning rate of {lr}")
        jobs.append(world.job(client, version, begins, visit, epochs, lr or None))
        parcel_of[client] = parcel
        if jobs_before > TRAIN:
            after[client] = jobs_before
        else:
            combined[client] = TRAIN - jobs_before
    _check("type", rows[jobs_end:tensors_end:TENSOR_WORDS], len(DTYPES))
    tensors = [
        empty(decode_shape(shape), DTYPES[dtype], device)
        for dtype, *shape in table(rows[jobs_end:tensors_end], TENSOR_WORDS)
    ]
    parcels: list[dict[str, Tensor]] = [{} for _ in range(max(parcel_of.values(), default=-1) + 1)]
    _check("parcel", rows[tensors_end::CONTENT_WORDS], len(parcels))
    _check("tensor", places := rows[tensors_end + 1 :: CONTENT_WORDS], tensors_count)
    if len(set(places)) != tensors_count:
        raise ValueError(f"an order brings {tensors_count} tensors, and its parcels hold {len(set(places))} of them")
    for number, tensor_number, *name in table(rows[tensors_end:], CONTENT_WORDS):
        parcels[number][_name(name)] = tensors[tensor_number]
    return Order(tuple(jobs), tuple(parcels), parcel_of, after or None, combined)


def say_order(order: Order | Keep | int, send: Callable[[Tensor], None]) -> None:
    """Give an order, or IDLE or STOP, to `hear_order`."""
    if isinstance(order, int):
        say(np.array([order, 0, 0, 0]), (), send)
    elif isinstance(order, Keep):
        say(np.array([KEEP, order.step, *order.jobs]), (), send)
    else:
        say(encode(order), order.tensors(), send)


def hear_order(recv: Callable[[Tensor], None], world: World, device: torch.device) -> Order | Keep | int:
    """What `say_order` gave."""
    heard: list[Order | Keep | int] = []

    def tensors(words: np.ndarray) -> list[Tensor]:
        head = words[:4].tolist() or [1]
        most = 2 + len(world.everyone) if head[0] == KEEP else 4 + head[-1]
        if len(words) > max(4, most):  # before a list is made of so many
            raise ValueError(f"an order of {len(words) - 4} words does not hold {head}")
        first, *rest = words.tolist() or [1]
        if first == KEEP:
            step, *jobs = rest or [-1]
            _check("step", [step], world.rounds + 1)
            _check("number of jobs", jobs, 1 << 63)
            heard.append(Keep(step, tuple(jobs)))
        elif first in (IDLE, STOP):
            heard.append(first)
        else:
            heard.append(decode([first, *rest], world, device))
            return heard[0].tensors()
        return []

    hear(recv, tensors)
    return heard[0]


def _words(name: str) -> tuple[int, ...]:
    padded = name.encode().ljust(NAME, b"\0")
    if len(padded) > NAME:
        raise ValueError(f"tensor name {name!r} is longer than {NAME} bytes")
    return unpack(f"{NAME // 8}q", padded)


def _name(words: list[int]) -> str:
    padded = pack(f"{len(words)}q", *words).rstrip(b"\0")
    try:
        return padded.decode()
    except UnicodeDecodeError:
        raise ValueError(f"an order names a tensor {padded!r}, which is no text") from None


def _check(what: str, numbers: Sequence[int], end: int, begin: int = 0) -> None:
    """ValueError unless all lie from `begin` to before `end`."""
    for number in {min(numbers), max(numbers)} if numbers else ():
        if not begin <= number < end:
            raise ValueError(f"an order names the {what} {number}; valid is from {begin} to before {end}")


def _bits(number: float) -> int:
    """A float64 as an int64."""
    return unpack("q", pack("d", number))[0]


def _float(bits: int) -> float:
    """The float64 of `_bits`."""
    return unpack("d", pack("q", bits))[0]
