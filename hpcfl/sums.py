"""Sums that do not depend on their order: the same bits on any number of ranks, in any grouping.

A weighted value is rounded to a multiple of a fixed quantum and added up as int64, which is exactly associative.
Adding 1.5 * 2^52 quanta to a float64 does that rounding in the adder: the low bits of the result *are* the integer.
One such sum costs about twice a float32 one, and a hundredth of the training of a small CNN (`hpcfl bench`).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LIMIT", "ExactSum", "FloatSum"]

QUANTUM = 2.0**-35
"""3e-11: a sixtieth of the spacing of float32 numbers near 0.03, a usual size of a weight."""
SHIFT = 1.5 * 2.0**52 * QUANTUM
SHIFT_BITS = int(torch.tensor(SHIFT, dtype=torch.float64).view(torch.int64))
LIMIT = 2.0**51 * QUANTUM
"""65536: largest magnitude of weight * value that fits."""
CHUNK = 1 << 16
"""Elements converted at a time on a CPU: the float64 copy stays in the cache."""


class ExactSum:
    """sum weight * value in fixed point. Weights are shares of a whole: at most 1 each, about 1 together."""

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self.total = torch.zeros(shape, dtype=torch.int64, device=device)
        """The sum so far, in quanta; ranks add theirs up."""
        flat = self.total.view(-1)
        self._chunk = CHUNK if device.type == "cpu" else max(1, flat.numel())
        self._chunks = flat.split(self._chunk)
        self._scratch = torch.empty(min(self._chunk, flat.numel()), dtype=torch.float64, device=device)

    def add(self, value: Tensor, weight: float) -> None:
        """Add weight * value; every |weight * value| must be below LIMIT (the caller checks, NaN included)."""
        for part, total in zip(value.reshape(-1).split(self._chunk), self._chunks):
            scratch = self._scratch[: len(part)]
            scratch.copy_(part).mul_(weight).add_(SHIFT)
            total.add_(scratch.view(torch.int64).sub_(SHIFT_BITS))

    def mean(self, whole: float) -> Tensor:
        """The sum divided by `whole`, the weights that really came, as float32."""
        return (self.total.double() * (QUANTUM / whole)).float()


class FloatSum:
    """The same in float32: half the traffic, bits that depend on the number of ranks (`reproducible = false`)."""

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self.total = torch.zeros(shape, device=device)

    def add(self, value: Tensor, weight: float) -> None:
        """Add weight * value."""
        self.total.add_(value, alpha=weight)

    def mean(self, whole: float) -> Tensor:
        """The sum divided by `whole`."""
        return self.total / whole
