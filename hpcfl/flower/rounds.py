"""Synchronous rounds whose clients the strategy chooses, from the model that the last one made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from hpcfl.clock import Clock, VirtualClock
from hpcfl.core import Job, Step, World
from hpcfl.errors import JobError
from hpcfl.schedule import Synchronous
from hpcfl.schedule.cohort import PATIENCE, given_up, nobody_arrives

__all__ = ["Rounds"]


class Rounds:
    """As the job's synchronous schedule, but that `strategy.choose` says who trains in a round, for how many epochs and
    with which learning rate. It is asked when the round begins, so nothing can be told ahead."""

    overlapping: ClassVar[bool] = False
    asks: ClassVar[bool] = True

    def __init__(self, strategy: Any, closing: Any):
        """`closing`: the job's schedule, which says when a round closes."""
        if not isinstance(closing, Synchronous):
            raise JobError(f"schedule: {type(closing).__name__}: a Flower strategy works in rounds: take synchronous")
        if closing != Synchronous(deadline=closing.deadline, first=closing.first):
            raise JobError("schedule.c_ratio and schedule.choose: a Flower strategy chooses its clients itself, say "
                           "by fraction_fit; leave them out")  # fmt: skip
        self._strategy, self._closing = strategy, closing

    def check(self, world: World) -> None:
        """JobError if a round could never close."""
        self._closing.check(world)

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps, and before them step 0, as of the synchronous schedule.

        On the virtual clock a round all of whose clients are lost begins again within its step, so that a run can be
        interrupted between rounds only: what goes on there has no attempts to remember.
        """
        index, attempt, visits = world.first, 0, {}
        cohort: tuple[Job, ...] = ()
        done: tuple[Job, ...] = ()
        lost: list[tuple[Job, str]] = []
        ahead = isinstance(clock, VirtualClock)  # who ends in time is known before anybody trains

        def close() -> None:
            nonlocal done, attempt
            done, gone = self._closing.gather(clock, cohort)
            lost.extend(gone)
            attempt = 0 if done else attempt + 1
            if attempt == PATIENCE:
                raise nobody_arrives(f"{PATIENCE} rounds in a row")

        def choose(state: Any) -> tuple[Job, ...]:
            nonlocal cohort
            chosen = self._strategy.choose(state, index + 1)
            visits.update({client: visits.get(client, -1) + 1 for client in chosen})
            cohort = tuple(
                world.job(client, index, clock.now, visits[client], order.epochs, order.lr)
                for client, order in sorted(chosen.items())
            )
            clock.start(cohort)
            if not ahead:
                return cohort
            close()
            return done or choose(state)

        while True:
            last = index == world.rounds
            step = Step(index, clock.now, done, (), given_up(lost) if done else (), choose=None if last else choose)
            if done:
                visits.clear()
                lost.clear()
            yield step
            if last:
                return
            if not ahead:
                close()
            index += bool(done)
