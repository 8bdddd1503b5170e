"""From a plan and its costs to numbers one asks a cluster for: memory, traffic, time, ranks, and a time limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfl.core import Step, World
from hpcfl.federation import build_compression
from hpcfl.preflight.costs import Costs
from hpcfl.preflight.critical import asynchronous, best_workers, synchronous
from hpcfl.schema import JobSpec

__all__ = ["Estimate", "estimate", "limit"]

LINK = 1e9
"""Bytes per second between ranks: what gloo reaches over 10 Gb Ethernet, and no more than through a node's memory."""
START_S = 60.0
"""Until the first round: modules from a shared file system, data, ranks that meet [s]."""
MARGIN = 1.5
"""A run may take so many times as long as estimated: other nodes, other loads."""
SAMPLE = 200
"""Rounds that are looked at, evenly from all: a schedule without overlap repeats itself."""


@dataclass(frozen=True)
class Estimate:
    """For one number of ranks; seconds are None where no step time is known."""

    ranks: int
    server_memory: float
    client_memory: float
    device_memory: float
    bytes_down: float
    """A step, from rank 0 to the others, each tensor once as /rounds counts them."""
    bytes_up: float
    """What they send it, or one another."""
    client_bytes_down: float
    """A step, to the simulated clients."""
    client_bytes_up: float
    path: float
    """Local steps one after the other in a step of the server, on average."""
    training_s: float | None
    communicating_s: float
    evaluating_s: float
    round_s: float | None
    run_s: float | None
    best: int
    """Ranks beyond which the path gets hardly shorter."""
    ways: dict[int, float]
    """Ranks -> path, some of them."""


def estimate(
    spec: JobSpec, world: World, steps: Sequence[Step], costs: Costs, ranks: int, *, overlapping: bool
) -> Estimate:
    """What the plan's steps take on so many ranks.

    `overlapping`: jobs outlive steps, and come one by one.
    """
    combining = [step for step in steps if step.done]
    looked_at = combining[:: max(1, len(combining) // SAMPLE)]
    path = asynchronous(steps, costs.private) if overlapping else synchronous(looked_at, costs.program, costs.private)
    workers = max(1, ranks - 1)
    spans = np.array(path(workers))
    busiest = max((len(step.done) for step in combining), default=1)
    most = concurrent(steps) if overlapping else math.ceil(busiest / costs.program)
    best = best_workers(lambda count: sum(path(count)), max(1, most))
    several, updates = ranks > 1, sum(len(step.done) for step in combining) / max(1, len(combining))
    down, up = several * traffic(costs, updates, overlapping), several * uploads(costs, updates, overlapping)
    # a model goes once to each rank where a neighbour lives: to a rank of its own for each, at most
    up += several * updates * costs.mixed_bytes * min(costs.neighbours, workers - 1)
    peers = costs.neighbours if costs.mixed_bytes else 1
    travels = np.mean([world.travels(job.version) for step in looked_at for job in step.done])
    communicating = (down + up) / LINK
    times: dict[str, float | None] = {"training_s": None, "round_s": None, "run_s": None}
    if costs.step_s is not None:
        share = costs.evaluate_s / spec.server.evaluate_every
        # rank 0 evaluates while the others train, if there are others
        rounds = np.maximum(spans * costs.step_s, several * share) + communicating + (not several) * share
        times = {"training_s": float(spans.mean() * costs.step_s), "round_s": float(rounds.mean()),
                 "run_s": float(rounds.mean() * len(combining))}  # fmt: skip
    home = costs.state_bytes * math.ceil(world.clients / workers)
    kept = costs.each_bytes * busiest
    return Estimate(
        ranks,
        server_memory=costs.server_memory + kept + (0 if several else home),
        client_memory=costs.client_memory + home + costs.mixed_bytes * busiest,
        device_memory=costs.device_memory,
        bytes_down=down,
        bytes_up=up,
        client_bytes_down=updates * peers * travels * costs.model_bytes,
        client_bytes_up=updates * peers * build_compression(spec).bytes(round(travels * costs.model_bytes / 4)),
        path=float(spans.mean()),
        communicating_s=communicating,
        evaluating_s=costs.evaluate_s,
        best=1 if best == 1 else best + 1,
        ways=ways(path, best, workers),
        **times,
    )


def traffic(costs: Costs, updates: float, overlapping: bool) -> float:
    """Bytes that rank 0 sends for a step."""
    return updates * costs.job_bytes if overlapping else costs.sent_bytes


def uploads(costs: Costs, updates: float, overlapping: bool) -> float:
    """Bytes that it gets for a step: one sum, and what clients send for themselves."""
    return updates * costs.upload_bytes if overlapping else costs.summed_bytes + updates * costs.each_bytes


def concurrent(steps: Sequence[Step]) -> int:
    """Most jobs that are under way at one time."""
    under_way = most = 0
    for step in steps:
        under_way += sum(not job.dropped for job in step.start) - len(step.done)
        most = max(most, under_way)
    return most


def ways(path: Callable[[int], list[float]], best: int, asked: int) -> dict[int, float]:
    """Ranks -> mean path: of powers of two of client ranks up to the best number, of that, and of what was asked."""
    counts = {2**power for power in range(11) if 2**power < best} | {best, asked}
    return {workers + 1: float(np.mean(path(workers))) for workers in sorted(counts)}


def limit(run_s: float) -> str:
    """The time limit to ask for, in Slurm's format: with a margin, in full five minutes, above two hours in halves."""
    wanted = START_S + MARGIN * run_s
    step = 300 if wanted <= 7200 else 1800
    minutes = math.ceil(wanted / step) * step // 60
    days, hours = divmod(minutes // 60, 24)
    clock = f"{hours:02}:{minutes % 60:02}:00"
    return f"{days}-{clock}" if days else clock
