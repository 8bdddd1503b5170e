"""Where a round's time goes: a stopwatch around the calls that it is made of, on rank 0 and on the busiest client rank.

The stopwatch is put around methods of the objects at work and taken off again: without it nothing is measured, and
nothing is slower. Time in a call inside another counts for the inner one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import get_ident
from time import perf_counter
from typing import Any

import torch

from hpcfl import share
from hpcfl.bench.race import Ours
from hpcfl.captured import Recording
from hpcfl.core import Step
from hpcfl.stacked import Forward
from hpcfl.sums import ExactSum, FloatSum

__all__ = ["PARTS", "break_down"]

PARTS = (
    "deal, submit",
    "broadcast",
    "prepare a client",
    "batch gather",
    "forward",
    "loss",
    "backward",
    "optimizer step",
    "stacked clients",
    "captured step",
    "check, sum",
    "reduce",
    "gather reports",
    "combine",
    "evaluate",
)
"""A receiving rank's waits count where it waits: for its orders in broadcast, for the slowest rank in reduce."""
OTHER = "other"


class Stopwatch:
    """Seconds by part; the time of a part stops while another one inside it runs."""

    def __init__(self, device: torch.device):
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._device, self._thread = device, get_ident()
        self._inner: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted for the part."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != self._thread:  # what another thread does meanwhile takes no time of the round's
                return function(*args, **kwargs)
            self._inner.append(0.0)
            begin = self._now()
            try:
                return function(*args, **kwargs)
            finally:
                took = self._now() - begin
                self.seconds[part] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return counted

    @contextmanager
    def around(self, owner: Any, name: str, part: str) -> Iterator[None]:
        """Count the calls of owner.name for the part, inside the `with` block."""
        own, found = vars(owner).get(name), getattr(owner, name)
        setattr(owner, name, self.timed(part, found))
        try:
            yield
        finally:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()


SUMMING = ("add", "add_stack", "clear", "part", "settle", "mean")


def calls(ours: Ours) -> list[tuple[Any, str, str]]:
    """(owner, method, part): what a round calls. Frozen strategies, and torch's tensors, are watched by their class."""
    parts, trainer = ours.parts, ours.parts.trainer
    optimizer = trainer.prepare(parts.world.initial.clone(), trainer.recipe.rates[0])
    batches = [(trainer.samples, "batch", "batch gather")] if trainer.samples else []  # a server has none
    return [
        *batches,
        (ours.pool, "submit", "deal, submit"),
        (ours.transport, "broadcast", "broadcast"),
        (ours.transport, "reduce", "reduce"),
        (ours.transport, "gather", "gather reports"),
        (trainer, "client", "prepare a client"),
        (trainer, "prepare", "prepare a client"),
        (trainer.module, "forward", "forward"),
        (Forward, "__call__", "forward"),
        (torch.Tensor, "backward", "backward"),
        (torch.autograd, "grad", "backward"),
        *([(parts.batched, "train", "stacked clients")] if parts.batched else []),
        (optimizer, "step", "optimizer step"),
        (Recording, "run", "captured step"),
        (share, "largest", "check, sum"),
        *((kind, verb, "check, sum") for kind in (ExactSum, FloatSum) for verb in SUMMING),
        (type(parts.strategy), "combine", "combine"),
    ]


@contextmanager
def watched(ours: Ours, stopwatch: Stopwatch) -> Iterator[None]:
    """The stopwatch around everything that a round calls."""
    trainer, recipe = ours.parts.trainer, ours.parts.trainer.recipe
    with ExitStack() as stack:
        for owner, name, part in calls(ours):
            stack.enter_context(stopwatch.around(owner, name, part))
        stack.callback(setattr, trainer, "recipe", recipe)
        trainer.recipe = replace(recipe, loss=stopwatch.timed("loss", recipe.loss))
        yield


def break_down(ours: Ours, steps: Sequence[Step], batch_size: int) -> list[dict[str, Any]]:
    """Seconds of a round by part, means over the steps, of rank 0 and of the busiest client rank; on rank 0."""
    transport = ours.transport
    stopwatch = Stopwatch(ours.parts.trainer.device)
    evaluate = stopwatch.timed("evaluate", ours.parts.evaluate(batch_size))
    sums = dict.fromkeys((*PARTS, OTHER), 0.0)
    with watched(ours, stopwatch):
        for step in steps:
            transport.barrier()
            stopwatch.seconds = dict.fromkeys(PARTS, 0.0)
            begin = perf_counter()
            ours.round(step)
            if transport.rank == 0:
                evaluate(ours.model())
            whole = perf_counter() - begin
            parts = {**stopwatch.seconds, OTHER: whole - sum(stopwatch.seconds.values())}
            sums = {part: sums[part] + parts[part] for part in sums}
    means = torch.tensor([seconds / len(steps) for seconds in sums.values()], dtype=torch.float64)
    ranks = [dict(zip(sums, row.tolist())) for row in transport.gather(means)]
    shown = [0, max(range(1, len(ranks)), key=lambda rank: busy(ranks[rank]))] if len(ranks) > 1 else range(len(ranks))
    return [{"rank": rank, "seconds": ranks[rank]} for rank in shown]


def busy(seconds: dict[str, float]) -> float:
    """What a client rank does itself."""
    return sum(seconds[part] for part in PARTS if part not in ("broadcast", "reduce", "gather reports"))
