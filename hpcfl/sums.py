"""Sums that do not depend on their order: the same bits on any number of ranks, in any grouping.

A weighted value is rounded to a multiple of a fixed quantum and added up as int64, which is exactly associative.
Adding 1.5 * 2^52 quanta to a float64 does that rounding in the adder: the low bits of the result *are* the integer.
What it costs against a float32 sum, and against the training it follows, `hpcfl bench` measures.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["LIMIT", "ExactSum", "FloatSum"]

QUANTUM = 2.0**-35
"""3e-11: a sixtieth of the spacing of float32 numbers near 0.03, a usual size of a weight."""
SHIFT = 1.5 * 2.0**52 * QUANTUM
SHIFT_BITS = int(torch.tensor(SHIFT, dtype=torch.float64).view(torch.int64))
LIMIT = 2.0**51 * QUANTUM
"""65536: largest magnitude of weight * value that fits."""
CHUNK = 1 << 17
"""Elements converted at a time on a CPU: the float64 copy stays in the cache."""


class ExactSum:
    """sum weight * value in fixed point. Weights are shares of a whole: at most 1 each, about 1 together."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, zeros: Callable[..., Tensor] = torch.zeros):
        self.total = zeros(shape, dtype=torch.int64, device=device)
        """The sum in quanta, once it is settled; ranks add theirs up."""
        self._terms = 0
        flat = self.total.view(-1)
        self._chunk = min(len(flat), CHUNK) if device.type == "cpu" else len(flat)
        scratch = torch.empty(self._chunk, dtype=torch.float64, device=device)
        self._chunks = [(total, scratch[: len(total)]) for total in flat.split(self._chunk)]

    def clear(self) -> None:
        """Begin a new sum in the same memory."""
        self.total.zero_()
        self._terms = 0

    def add(self, value: Tensor, weight: float) -> None:
        """Add weight * value; every |weight * value| must be below LIMIT (the caller checks, NaN included)."""
        for (total, scratch), part in zip(self._chunks, value.reshape(-1).split(self._chunk)):
            scratch.copy_(part).mul_(weight).add_(SHIFT)
            total.add_(scratch.view(torch.int64))
        self._terms += 1

    def settle(self) -> None:
        """Take the shifts of all terms out of the total, when all were added. Integers wrap around, and back."""
        shift = self._terms * SHIFT_BITS % 2**64
        self.total.sub_(shift - 2**64 if shift >= 2**63 else shift)
        self._terms = 0

    def mean(self, whole: float) -> Tensor:
        """The settled sum divided by `whole`, the weights that really came, as float32."""
        mean = torch.empty(self.total.shape, device=self.total.device)
        for (total, scratch), part in zip(self._chunks, mean.view(-1).split(self._chunk)):
            part.copy_(scratch.copy_(total).mul_(QUANTUM / whole))
        return mean


class FloatSum:
    """The same in float32: half the traffic, bits that depend on the number of ranks (`reproducible = false`)."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, zeros: Callable[..., Tensor] = torch.zeros):
        self.total = zeros(shape, dtype=torch.float32, device=device)

    def clear(self) -> None:
        """Begin a new sum in the same memory."""
        self.total.zero_()

    def add(self, value: Tensor, weight: float) -> None:
        """Add weight * value."""
        self.total.add_(value.float(), alpha=weight)

    def settle(self) -> None:
        """Nothing to do."""

    def mean(self, whole: float) -> Tensor:
        """The sum divided by `whole`."""
        return self.total / whole
