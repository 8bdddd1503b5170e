"""How busy an asynchronous server keeps its client ranks, and how fast updates pass through it.

busy     40 clients in flight, each job a wait of fixed length: the time taken, against all ranks being always busy
server   updates of the model's size without any training, against a bare loop that receives, interpolates, sends back;
         with a small model its inverse is how many updates per second pass through rank 0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl import engine
from hpcfl.build import Parts
from hpcfl.core import Cohort
from hpcfl.farm import Farm
from hpcfl.plan import plan
from hpcfl.schedule import Buffered
from hpcfl.strategies import FedAsync

__all__ = ["SameChannels", "busy", "server"]

IN_FLIGHT = 40
JOB_S = 0.05
UPDATES = 40
"""Per client rank and run of `busy`, and of `server` with a model of a million elements or more."""
SMALL_UPDATES = 400
"""The same of `server` with a smaller one: the first updates of a run are no measure of the others."""
TIMEOUT_S = 300.0


class SameChannels:
    """A transport whose channels are made once, as in a run: each set of them has threads, which stay."""

    def __init__(self, transport: Any):
        self._transport, self._channels = transport, transport.channels(TIMEOUT_S)

    def channels(self, timeout_s: float) -> dict[int, Any]:
        return self._channels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@dataclass(frozen=True)
class Idle(FedAsync):
    """FedAsync whose clients wait instead of training, and return what they got."""

    seconds: float = 0.0
    """Length of a job [s]."""

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        if self.seconds:
            Event().wait(self.seconds)
        return {"w": sent["w"]}


def busy(transport: Any, parts: Parts) -> tuple[float, float]:
    """Seconds of work per client rank, and seconds that the run took."""
    worked: list[float] = []
    took = run(
        transport, parts, Idle(seconds=JOB_S), UPDATES, lambda updates: worked.extend(each.seconds for each in updates)
    )
    return sum(worked) / (transport.size - 1), took


def server(transport: Any, parts: Parts) -> tuple[float, float]:
    """Seconds per update: of the bare loop, and through hpcfl."""
    each = UPDATES if len(parts.world.initial) >= 1_000_000 else SMALL_UPDATES
    updates = each * (transport.size - 1)
    floor = bare_loop(transport, parts.world.initial, each)
    return floor / updates, run(transport, parts, Idle(), each, lambda updates: None) / updates


def run(transport: Any, parts: Parts, strategy: Idle, each: int, note: Callable[[Cohort], None]) -> float:
    """Seconds that rank 0 needs for the updates of an asynchronous run; the other ranks serve."""
    parts.trainer.strategy = strategy
    world = replace(parts.world, rounds=each * (transport.size - 1))
    pool = Farm(transport, parts.trainer, world, True, TIMEOUT_S)
    transport.barrier()
    begin = perf_counter()
    if transport.rank:
        pool.serve()
    else:
        steps = plan(Buffered(in_flight=IN_FLIGHT), world)
        begin = perf_counter()
        engine.run(world, strategy, steps, pool, lambda step, updates, *_: note(updates), 0)
        pool.close()
    return perf_counter() - begin


def bare_loop(transport: Any, vector: Tensor, each: int) -> float:
    """Seconds of the same traffic, written down plainly: receive from each rank in turn, interpolate, send back."""
    channels = transport.channels(TIMEOUT_S)
    model, update = vector.clone(), torch.empty_like(vector)
    transport.barrier()
    begin = perf_counter()
    for _ in range(each):
        for channel in channels.values():
            if transport.rank == 0:
                channel.recv(update)
                model.lerp_(update, 0.5)
                channel.send(model)
            else:
                channel.send(model)
                channel.recv(model)
    return perf_counter() - begin
