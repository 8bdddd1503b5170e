"""The round loop: collect, combine, submit, record. It never asks which mode it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Protocol

from torch import Tensor

from hpcfl.core import Cohort, Job, Send, Step, World
from hpcfl.errors import TrainingError

__all__ = ["Pool", "run"]

State = dict[str, Tensor]


class Pool(Protocol):
    """Where jobs are done."""

    def submit(self, jobs: tuple[Job, ...], send: Send) -> None:
        """Start jobs; `send(client)` is what its client receives."""

    def collect(self, jobs: tuple[Job, ...]) -> Cohort:
        """Wait for these jobs."""


def run(
    world: World,
    strategy: Any,
    schedule: Callable[[World], Iterator[Step]],
    pool: Pool,
    record: Callable[[Step, Cohort, State, float], None],
    min_clients: int = 1,
) -> State:
    """Make every step of the schedule and return the final state. Rank 0 only; the others serve the pool.

    `record` sees each step with the seconds its aggregation took. It evaluates there too, after the next jobs were
    submitted: with several ranks that costs the run nothing.
    """
    state = strategy.init(world)
    for step in schedule(world):
        updates = pool.collect(step.done)
        begin = perf_counter()
        enough = len(updates) >= min_clients
        if step.done and enough:
            state = strategy.combine(state, updates)
        aggregating = perf_counter() - begin
        if enough or not step.done:
            pool.submit(step.start, lambda client, state=state: strategy.send(state, client))
        if step.done:
            record(step, updates, state, aggregating)
        if step.done and not enough:
            raise TrainingError(too_few(step, updates, min_clients))
    return state


def too_few(step: Step, updates: Cohort, min_clients: int) -> str:
    """Why the run ends here: how many clients failed, and what the first of them said."""
    counted = (
        f"step {step.index}: {len(updates.failures)} of {len(step.done)} clients failed and {len(updates)} succeeded, "
        f"fewer than server.min_clients = {min_clients}"
    )
    if not updates.failures:
        return f"{counted}; the schedule starts too few clients per step"
    first = updates.failures[0]
    return f"{counted}; first failure: client {first.job.client}: {first.failure}"
