"""Sums that do not depend on their order: the same bits on any number of ranks, in any grouping.

A weighted value is rounded to a multiple of a fixed quantum; such multiples are added up in float64, which is exact as
long as the sum stays below 2^53 quanta, and so associative. Adding 1.5 * 2^52 quanta to a float64, and taking them away
again, does that rounding in the adder. What it costs against a float32 sum, and against the training it follows,
`hpcfl bench` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from hpcfl.pinned import upload

__all__ = ["LIMIT", "TOGETHER", "ExactSum", "FloatSum", "patience"]

QUANTUM = 2.0**-35
"""3e-11: a sixtieth of the spacing of float32 numbers near 0.03, a usual size of a weight."""
SHIFT = 1.5 * 2.0**52 * QUANTUM
LIMIT = 2.0**51 * QUANTUM
"""65536: largest magnitude of weight * value that fits."""
Pieces = Sequence[tuple[int, int]]
"""Where a value (n,) belongs in the sum: (place, size) of its stretches, one behind the other."""
CHUNK = 1 << 17
"""Elements converted at a time on a CPU: the float64 copy stays in the cache."""
LARGE = range(1 << 22, 1 << 26)
"""Elements of values that wait for one another on a CPU: fewer stay in the cache, more would take too much memory."""


TOGETHER = 4
"""How many of them are added up at once: then the sum in memory is read and written once."""


def patience(size: int, device: torch.device) -> int:
    """How many values of so many elements wait for one another."""
    return TOGETHER if device.type == "cpu" and size in LARGE else 1


class ExactSum:
    """sum weight * value in multiples of the quantum. Weights are shares of a whole: at most 1 each and together."""

    def __init__(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        empty: Callable[..., Tensor] = torch.empty,
        stay: int = TOGETHER,
    ):
        """`stay`: so many values are as they were when they were added, until the sum is settled."""
        self._make = partial(empty, shape, device=device)
        self.total = self._make(dtype=torch.float64)
        """The sum, once it is settled; ranks add theirs up, in any order."""
        self._empty = True
        self._waiting: list[tuple[Tensor, float]] = []
        flat = self.total.view(-1)
        self._patience = min(stay, patience(len(flat), device))
        self._chunk = max(1, min(len(flat), CHUNK) if device.type == "cpu" else len(flat))
        self._scratch = torch.empty(self._chunk, dtype=torch.float64, device=device)
        self._room = self._scratch
        self._chunks = [(total, self._scratch[: len(total)]) for total in flat.split(self._chunk)]
        self._shift = torch.tensor(SHIFT, dtype=torch.float64, device=device)
        self._shifts = self._shift, -self._shift

    def clear(self) -> None:
        """Begin a new sum in the same memory."""
        self._empty = True
        self._waiting.clear()

    def add(self, value: Tensor, weight: float, pieces: Pieces | None = None) -> None:
        """Add weight * value; every |weight * value| must be below LIMIT (the caller checks, NaN included)."""
        if pieces is not None:
            self._add_pieces(value, weight, pieces)
            return
        self._waiting.append((value.reshape(-1), weight))
        if len(self._waiting) == self._patience:
            self._add_up()

    def _add_up(self) -> None:
        """Add what waits, each stretch of the sum while it is in the cache."""
        values = [value.split(self._chunk) for value, _ in self._waiting]
        weights = [weight for _, weight in self._waiting]
        for (total, scratch), *parts in zip(self._chunks, *values):
            for number, (part, weight) in enumerate(zip(parts, weights)):
                value = total if self._empty and number == 0 else scratch
                shift = self._shifts[number % 2]  # every second one takes away what the one before left there
                torch.add(shift, value.copy_(part), alpha=weight, out=value)
                if value is scratch:
                    total.add_(value)
            if len(parts) % 2:
                total.sub_(self._shift)
        self._waiting.clear()
        self._empty = False

    def add_stack(self, values: Tensor, weights: Sequence[float]) -> None:
        """Add weight * value for every row of `values` (n, ...)."""
        self.settle()
        shares = upload(torch.tensor(weights, dtype=torch.float64), values.device)[:, None]
        width = max(1, CHUNK // len(weights) if values.device.type == "cpu" else self.total.numel())
        room = self._stacked(len(weights) * min(width, self.total.numel()))
        for total, part in zip(self.total.view(-1).split(width), values.reshape(len(weights), -1).split(width, 1)):
            weighted = torch.mul(part, shares, out=room[: part.numel()].view_as(part))
            total.add_(self._round(weighted, 1.0).sum(0))
        self._empty = False

    def part(self) -> tuple[Tensor, bool]:
        """This rank's part of the sum, and whether nothing was added: then it holds anything."""
        if self._waiting:
            self._add_up()
        return self.total, self._empty

    def settle(self) -> None:
        """All were added: a sum of nothing is zero."""
        total, empty = self.part()
        if empty:
            total.zero_()

    def mean(self, whole: float) -> Tensor:
        """The settled sum divided by `whole`, the weights that really came, as float32."""
        mean = self._make(dtype=torch.float32)
        for (total, scratch), part in zip(self._chunks, mean.view(-1).split(self._chunk)):
            part.copy_(torch.mul(total, 1 / whole, out=scratch))
        return mean

    def _add_pieces(self, value: Tensor, weight: float, pieces: Pieces) -> None:
        self.settle()
        self._empty = False
        for part, whole in pairs(value, self.total, pieces):
            for total, chunk in zip(whole.split(self._chunk), part.split(self._chunk)):
                total.add_(self._round(self._scratch[: len(chunk)].copy_(chunk), weight))

    def _stacked(self, numbers: int) -> Tensor:
        """Room for weighted values of a stack, kept for the next one."""
        if len(self._room) < numbers:
            self._room = self._scratch.new_empty(numbers)
        return self._room

    def _round(self, value: Tensor, weight: float) -> Tensor:
        """weight * value to the nearest quantum, in place."""
        return torch.add(self._shift, value, alpha=weight, out=value).sub_(self._shift)


class FloatSum:
    """The same in float32: half the traffic, bits that depend on the number of ranks (`reproducible = false`)."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, empty: Callable[..., Tensor] = torch.empty):
        self._make = partial(empty, shape, dtype=torch.float32, device=device)
        self.total = self._make()
        self._empty = True

    def clear(self) -> None:
        """Begin a new sum in the same memory."""
        self._empty = True

    def add(self, value: Tensor, weight: float, pieces: Pieces | None = None) -> None:
        """Add weight * value."""
        self._begin()
        whole = [(value, self.total)] if pieces is None else pairs(value, self.total, pieces)
        for part, total in whole:
            total.add_(part.float(), alpha=weight)

    def add_stack(self, values: Tensor, weights: Sequence[float]) -> None:
        """Add weight * value for every row of `values` (n, ...)."""
        self._begin()
        self.total.add_(torch.tensordot(upload(torch.tensor(weights), values.device), values.float(), 1))

    def part(self) -> tuple[Tensor, bool]:
        """This rank's part of the sum, and whether nothing was added: then it holds anything."""
        return self.total, self._empty

    def settle(self) -> None:
        """All were added: a sum of nothing is zero."""
        self._begin()

    def _begin(self) -> None:
        if self._empty:
            self.total.zero_()
            self._empty = False

    def mean(self, whole: float) -> Tensor:
        """The sum divided by `whole`."""
        return torch.div(self.total, whole, out=self._make())


def pairs(value: Tensor, total: Tensor, pieces: Pieces) -> Iterator[tuple[Tensor, Tensor]]:
    """Each piece of a value, with where it belongs in the sum."""
    begin = 0
    for place, size in pieces:
        yield value[begin : begin + size], total[place : place + size]
        begin += size
