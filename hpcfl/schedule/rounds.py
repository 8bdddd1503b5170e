"""Synchronous rounds that nobody can foretell: who trains, and whether once more, is known only as each begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpcfl.clock import Clock, VirtualClock
from hpcfl.core import Job, Step, World
from hpcfl.schedule.cohort import PATIENCE, given_up, nobody_arrives
from hpcfl.schedule.synchronous import Synchronous

__all__ = ["Rounds"]


class Rounds:
    """As a synchronous schedule, but that each round is drawn as it begins, and drawn anew where too few succeed."""

    overlapping: ClassVar[bool] = False
    asks: ClassVar[bool] = True

    def __init__(self, closing: Synchronous, retries: int = 0):
        """`closing`: the job's schedule, which says when a round closes. `retries`: how often one is tried again."""
        self._closing, self._retries = closing, retries

    def check(self, world: World) -> None:
        """JobError if a round could never close."""
        self._closing.check(world)

    def choose(self, world: World, state: Any, index: int, attempt: int) -> Mapping[int, Mapping[str, Any]]:
        """client -> what is its own of the job (`epochs`, `lr`), of each that trains from the model of step `index`."""
        return {client: {} for client in self._closing.sample(world, index, attempt)}

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps, and before them step 0, as of the synchronous schedule.

        A step that is rejected is followed by one that ends nothing, and starts the round again from the same model.
        On the virtual clock a round all of whose clients are lost begins again within its step, so that a run can be
        interrupted between rounds only: what goes on there has no attempts to remember.
        """
        index, attempt, tries = world.first, 0, 0
        visits: dict[int, int] = {}
        cohort: tuple[Job, ...] = ()
        done: tuple[Job, ...] = ()
        lost: list[tuple[Job, str]] = []
        fresh = rejected = False
        ahead = isinstance(clock, VirtualClock)  # who ends in time is known before anybody trains

        def close() -> None:
            nonlocal done
            done, gone = self._closing.gather(clock, cohort)
            lost.extend(gone)
            if not done and attempt - tries == PATIENCE:
                raise nobody_arrives(f"{PATIENCE} rounds in a row")

        def begin(state: Any) -> tuple[Job, ...]:
            nonlocal cohort, attempt, tries, fresh
            if fresh:
                visits.clear()
                attempt, tries, fresh = 0, 0, False
            chosen = self.choose(world, state, index, attempt)
            attempt += 1
            visits.update({client: visits.get(client, -1) + 1 for client in chosen})
            cohort = tuple(
                world.job(client, index, clock.now, visits[client], **own) for client, own in sorted(chosen.items())
            )
            clock.start(cohort)
            if not ahead:
                return cohort
            close()
            return done or begin(state)

        def reject() -> None:
            nonlocal rejected
            rejected = True

        while True:
            fresh, rejected, last = bool(done), False, index == world.rounds
            gone = given_up(lost) if done else ()
            if done:
                lost.clear()
            yield Step(
                index, clock.now, done, (), gone, choose=None if last else begin,
                reject=reject if done and tries < self._retries else None,
            )  # fmt: skip
            if rejected:
                index, tries, done, fresh = index - 1, tries + 1, (), False
                continue
            if last:
                return
            if not ahead:
                close()
            index += bool(done)
