"""The parts of communication, each against a floor of its own: exact sums, broadcast, reduce, the asynchronous server.

sums         an exact (reproducible) sum of one model, against a float32 one
broadcast    of one model between all ranks, against a memory copy of the same bytes
reduce       of one exact sum, likewise
and with several ranks the two of `asyncbench`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl import asyncbench
from hpcfl.build import Parts
from hpcfl.sums import ExactSum, FloatSum

__all__ = ["asynchronous", "traffic"]

Figure = dict[str, Any]
"""measured, hpcfl_s, floor, floor_s, ratio: medians in seconds."""


def figure(name: str, floor: str, floor_s: float, hpcfl_s: float) -> Figure:
    return {"measured": name, "hpcfl_s": hpcfl_s, "floor": floor, "floor_s": floor_s, "ratio": hpcfl_s / floor_s}


def traffic(transport: Any, vector: Tensor, repeats: int) -> list[Figure]:
    """Sums, and with several ranks the two collectives of a round, against copying the same bytes in memory."""
    figures = [sums(vector, repeats)]
    if transport.size == 1:
        return figures
    total = torch.zeros(vector.shape, dtype=torch.float64, device=vector.device)
    for name, verb, tensor in (("broadcast", transport.broadcast, vector), ("reduce", transport.reduce, total)):
        copy = torch.empty_like(tensor)
        floor, ours = interleaved(
            repeats, lambda copy=copy, tensor=tensor: copy.copy_(tensor), lambda verb=verb, tensor=tensor: verb(tensor),
            before=transport.barrier,
        )  # fmt: skip
        megabytes = tensor.numel() * tensor.element_size() / 1e6
        figures.append(figure(f"{name} of {megabytes:.0f} MB", "memory copy", floor, ours))
    return figures


def sums(vector: Tensor, repeats: int) -> Figure:
    """Adding one model to an exact sum, against adding it in float32."""
    exact, plain = (kind(tuple(vector.shape), vector.device) for kind in (ExactSum, FloatSum))
    floor, ours = interleaved(repeats, lambda: plain.add(vector, 0.5), lambda: exact.add(vector, 0.5))
    return figure("exact sum of one model", "float32 sum", floor, ours)


def asynchronous(transport: Any, light: Parts, others: Sequence[Parts], repeats: int) -> list[Figure]:
    """How busy the client ranks are kept (with a `light` model), and the server's cost per update of each size."""
    kept_busy = f"{asyncbench.IN_FLIGHT} async clients, {1e3 * asyncbench.JOB_S:.0f} ms"
    runs = [(kept_busy, "no idle rank", asyncbench.busy, light)]
    for parts in (light, *others):
        runs.append((f"async update, {len(parts.world.initial):,} numbers", "bare loop", asyncbench.server, parts))
    figures, transport = [], asyncbench.SameChannels(transport)
    for name, floor, measured, parts in runs:
        pairs = [measured(transport, parts) for _ in range(2 + repeats // 3)][1:]
        if transport.rank == 0:  # the others have no updates to count
            figures.append(figure(name, floor, median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)))
    return figures


def interleaved(
    repeats: int, floor: Callable[[], Any], ours: Callable[[], Any], before: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Medians of both, run in turn; the first turn warms up and does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for run, kept in zip((floor, ours), seconds):
            before()
            begin = perf_counter()
            run()
            kept.append(perf_counter() - begin)
    return median(seconds[0][1:]), median(seconds[1][1:])
