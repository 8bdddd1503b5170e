"""A schedule for the weather study: one owner works alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from hpcfl.clock import Clock
from hpcfl.core import Job, Step, World
from hpcfl.errors import JobError


@dataclass(frozen=True)
class Alone:
    """The same owner trains in every round, and nobody else does; all keep their test parts."""

    overlapping: ClassVar[bool] = False

    owner: Annotated[int, Gt(0)] = 1
    """The first is 1."""

    def check(self, world: World) -> None:
        """JobError if there is no such owner."""
        if self.owner > world.clients:
            raise JobError(f"schedule.owner = {self.owner}: there are {world.clients} (partition.clients)")

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps of one job each, and before them one that ends nothing."""
        done: tuple[Job, ...] = ()
        for index in range(world.rounds + 1):
            after = (world.job(self.owner - 1, index, clock.now),) if index < world.rounds else ()
            yield Step(index, clock.now, done, after)
            clock.start(after)
            while clock.running:
                clock.next()
            done = after
