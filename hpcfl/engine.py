"""The round loop: collect, combine, submit, record. It never asks which mode it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, Protocol

from torch import Tensor

from hpcfl.checkpoint.keeper import Standing
from hpcfl.core import Cohort, Job, Send, Step, Update, World
from hpcfl.errors import TrainingError

__all__ = ["Pool", "run"]

State = dict[str, Tensor]


class Pool(Protocol):
    """Where jobs are done."""

    def submit(self, jobs: tuple[Job, ...], send: Send) -> None:
        """Start jobs; `send(client)` is what its client receives."""

    def collect(self, step: Step) -> Cohort:
        """Wait for the jobs that the step combines."""


class Forgetful:
    """Keeps nothing: a run that cannot be resumed, and ends when it is done."""

    def cut(self, step: Step, at: Standing) -> bool:
        """Whether the run ends with this step."""
        return False

    def watch(self, step: Step, send: Send) -> Send:
        """`send`, with what the jobs of the step are sent noted."""
        return send

    def write(self) -> None:
        """Write what was cut, now that the step is recorded."""


FORGETFUL = Forgetful()


def run(
    world: World,
    strategy: Any,
    steps: Iterable[Step],
    pool: Pool,
    record: Callable[[Step, Cohort, State, float], None],
    min_clients: int = 1,
    examine: Callable[[Step, Cohort, State], None] = lambda *seen: None,
    keeper: Any = FORGETFUL,
    at: Standing | None = None,
) -> State:
    """Make every step and return the final state. Rank 0 only; the others serve the pool.

    `record` sees each step with the seconds its aggregation took. It evaluates there too, after the next jobs were
    submitted: with several ranks that costs the run nothing. `examine` sees it before that, while the ranks can be
    asked how their clients do. A step with fewer than `min_clients` updates is rejected, if it may be: its round is
    tried again, and what became of these jobs is seen with those of the step that comes of it. Otherwise it ends the
    run with a TrainingError, and so do as many failures in a row as there are clients. `keeper` makes checkpoints, and
    says when to stop; `at` is how the loop stood at the one that `steps` go on from.
    """
    state, failed_in_a_row, combined = at or Standing(strategy.init(world))
    vain: list[tuple[Step, Cohort]] = []
    for step in steps:
        updates = pool.collect(step)
        if step.reject and len(updates) < min_clients:
            step.reject()
            vain.append((step, updates))
            continue
        begin = perf_counter()
        failed_in_a_row = 0 if updates else failed_in_a_row + len(updates.failures)
        goes_on = not step.done or (len(updates) >= min_clients and failed_in_a_row < world.clients)
        if updates and goes_on:
            state, combined = strategy.combine(state, updates), True
        aggregating = perf_counter() - begin
        ends, stops = "" if goes_on else too_few(step, updates, min_clients, failed_in_a_row, len(vain)), False
        if step.done:
            step, updates = together(step, updates, vain, min_clients)
            vain.clear()
        if goes_on:
            if not vain:  # between two tries of a round there is nothing to go on from
                examine(step, updates, state)
                stops = keeper.cut(step, Standing(state, failed_in_a_row, combined))
            if not stops:
                start = step.choose(state) if step.choose else step.start
                jobs = tuple(job for job in start if not job.dropped)
                pool.submit(jobs, keeper.watch(step, lambda client, state=state: strategy.send(state, client)))
        if step.done or step.lost:
            record(step, updates, state, aggregating)
        if ends:
            raise TrainingError(ends)
        keeper.write()
        if stops:
            return state
    if updates.failures and not combined:
        raise TrainingError(too_few(step, updates, 1, failed_in_a_row))
    return state


def together(step: Step, updates: Cohort, vain: Sequence[tuple[Step, Cohort]], min_clients: int) -> tuple[Step, Cohort]:
    """The step and what became of its jobs, with those of the tries before, which have all failed."""
    failures: list[Update] = []
    for _, tried in vain:
        why = f"the round was tried again: {len(tried)} succeeded, fewer than server.min_clients = {min_clients}"
        failures += [*(replace(update, failure=why) for update in tried), *tried.failures]
    before = [tried for tried, _ in vain]
    return (
        replace(
            step,
            done=(*(job for tried in before for job in tried.done), *step.done),
            lost=(*(pair for tried in before for pair in tried.lost), *step.lost),
        ),
        replace(updates, failures=(*failures, *updates.failures)),
    )


def too_few(step: Step, updates: Cohort, min_clients: int, failed_in_a_row: int, tries: int = 0) -> str:
    """Why the run ends here: how many clients failed, and what the first of them said. `tries`: those before."""
    counted = f"step {step.index}: {len(updates.failures)} of {len(step.done)} clients failed"
    if failed_in_a_row > len(step.done):
        counted += f", {failed_in_a_row} in a row"
    else:
        counted += f" and {len(updates)} succeeded, fewer than server.min_clients = {min_clients}"
    if tries:
        counted += f", and too few in {tries} tries before" if tries > 1 else ", and too few in the try before"
    if not updates.failures:
        return f"{counted}; the schedule starts too few clients per step"
    first = updates.failures[0]
    return f"{counted}; first failure: client {first.job.client}: {first.failure}"
