"""Synchronous rounds: some clients train, everybody waits for them, the server steps (McMahan et al. 2017).

With a deadline, or with more clients than it needs, the server does not wait for the slowest (Bonawitz et al. 2019).
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from hpcfl.clock import Clock
from hpcfl.core import Job, Step, World
from hpcfl.errors import JobError
from hpcfl.schedule.cohort import PATIENCE, Starter, Turns, by_client, draw, given_up, nobody_arrives, part

Lost = list[tuple[Job, str]]


@dataclass(frozen=True)
class Synchronous:
    """In each round a share of the clients, drawn without replacement or by turns, trains the newest model."""

    overlapping: ClassVar[bool] = False
    """Whether a step may start jobs that the next one does not end."""

    c_ratio: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the clients that train in a round; at least one does."""
    choose: Literal["random", "round_robin"] = "random"
    """random; round_robin: by turns."""
    deadline: Annotated[float, Gt(0)] | None = None
    """Seconds after which a round closes: whoever is later is a straggler, but the first one is waited for."""
    first: Annotated[int, Gt(0)] | None = None
    """Updates with which a round closes; the others of its clients are stragglers (over-selection)."""

    def check(self, world: World) -> None:
        """JobError if a round could never close."""
        size = part(self.c_ratio, world.clients)
        if self.first is not None and self.first > size:
            raise JobError(f"schedule.first = {self.first}: more than the {size} clients of a round (c_ratio)")

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps, and before them step 0, which ends nothing and starts the first round.

        Stragglers are told to stop: they are free for the next round. If all clients of a round are lost, others train
        from the same model, started by a step that ends nothing; the lost are told with the next that does.
        """
        self.check(world)
        starter, turns, everybody = Starter(world), Turns(world.clients), range(world.clients)
        size = part(self.c_ratio, world.clients)
        index, attempt = world.first, 0
        done: tuple[Job, ...] = ()
        lost: Lost = []
        while True:
            cohort: tuple[Job, ...] = ()
            if index < world.rounds:
                by_turns = self.choose == "round_robin"
                drawn = turns(everybody, size) if by_turns else self.sample(world, index, attempt)
                cohort = starter(drawn, index, clock.now)
                clock.start(cohort)
            yield Step(index, clock.now, done, cohort, given_up(lost) if done else ())
            if not cohort:
                return
            lost = [] if done else lost
            done, gone = self.gather(clock, cohort)
            lost += gone
            index, attempt = (index + 1, 0) if done else (index, attempt + 1)
            if attempt == PATIENCE:
                raise nobody_arrives(f"{PATIENCE} rounds in a row")

    def sample(self, world: World, index: int, attempt: int) -> Collection[int]:
        """Clients drawn for the round that starts from the model of step `index`; anew for each attempt at it."""
        again = ("again", attempt) if attempt else ()
        return draw(world.seed, range(world.clients), part(self.c_ratio, world.clients), index, *again)

    def gather(self, clock: Clock, cohort: tuple[Job, ...]) -> tuple[tuple[Job, ...], Lost]:
        """Wait until the round closes: the jobs that are in by then, and those that are not."""
        waiting = {job.key: job for job in cohort}
        done: list[Job] = []
        dropped: list[Job] = []
        closes = clock.now + (self.deadline or math.inf)
        enough = self.first or len(cohort)
        while waiting and len(done) < enough:
            job = clock.next(closes)
            if job is None:
                if done or math.isinf(closes):
                    break
                closes, enough = math.inf, 1
            elif waiting.pop(job.key, None):  # and not a straggler of an earlier round
                (dropped if job.dropped else done).append(job)
        late = [(job, "straggler") for job in waiting.values()]
        return by_client(done), [*((job, "dropped") for job in dropped), *late]
