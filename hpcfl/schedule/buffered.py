"""Asynchronous training: nobody waits for anybody, and the server steps with every M updates that arrive.

M = 1 is the schedule of FedAsync (Xie et al. 2019), a larger one FedBuff's (Nguyen et al. 2022). Most knobs are those
of Async-FL, and keep their names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from annotated_types import Ge, Gt, Le

from hpcfl.clock import Clock
from hpcfl.core import Job, Step, World
from hpcfl.errors import JobError
from hpcfl.schedule.cohort import PATIENCE, Starter, Turns, by_client, draw, given_up, nobody_arrives, part


@runtime_checkable
class NumGenerator(Protocol):
    """How many updates each step combines, where that is not always the same."""

    def init(self) -> Any:
        """Called once, before the first step."""

    def get_num(self) -> int:
        """Called before each step: its updates, 1 or more."""


@dataclass(frozen=True)
class Buffered:
    """The server steps when `num_generator` updates have arrived, and then chooses idle clients again."""

    overlapping: ClassVar[bool] = True
    components: ClassVar[dict[str, dict[str, Any]]] = {"num_generator": {}}
    """Fields that a job file fills with a component, and the table of its short names."""

    num_generator: Any = 1
    """Updates per step: a whole number, or the dotted path of a class with init() and get_num()."""
    c_ratio: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the idle clients that is chosen at a time; at least one is."""
    choose: Literal["random", "full", "round_robin", "no"] = "random"
    """random; full: all idle ones; round_robin: by turns; no: only once, then each pulls the model itself."""
    acquire_model_delay: Annotated[float, Ge(0)] = 0.0
    """With "no": seconds after which a client that has uploaded pulls the newest model."""
    schedule_interval: Annotated[int, Gt(0)] = 1
    """Clients are chosen every so many server steps."""
    schedule_delay: Annotated[int, Ge(0)] | None = None
    """Clients are chosen only if no more than so many updates wait in the buffer; without it, always."""
    in_flight: Annotated[int, Gt(0)] | None = None
    """Clients kept training at a time: whoever ends is replaced at once. Takes the place of c_ratio."""
    checker: Literal["all", "current"] = "all"
    """Updates let in: all, or only those that started from the model of the current step."""

    def __post_init__(self) -> None:
        number = self.num_generator
        if type(number) is int and number > 0:
            return
        if type(number) is int or not isinstance(number, NumGenerator):
            raise JobError(
                f"schedule.num_generator = {number!r}: should be a whole number greater than 0, or the dotted path of "
                "a class with init() and get_num()"
            )

    def check(self, world: World) -> None:
        """JobError for knobs that contradict one another, or a buffer that could not fill."""
        flight = self.flight(world.clients)
        if flight > world.clients:
            raise JobError(f"schedule.in_flight = {flight}: more than the {world.clients} clients there are")
        if self.in_flight and (self.choose == "full" or self.schedule_interval > 1):
            other = 'choose = "full"' if self.choose == "full" else f"schedule_interval = {self.schedule_interval}"
            raise JobError(
                f"schedule.in_flight = {flight} contradicts schedule.{other}: clients are replaced one by one, "
                "as they end; leave one of the two out"
            )
        if type(self.num_generator) is int:
            self.check_number(self.num_generator, world.clients)

    def check_number(self, number: Any, clients: int) -> int:
        """The number of updates of a step; JobError if it is none, or more than the clients in flight."""
        if type(number) is not int or number < 1:
            raise JobError(f"schedule.num_generator: get_num() gave {number!r}; should be a whole number, 1 or greater")
        if number > self.flight(clients):
            raise JobError(
                f"schedule.num_generator = {number}: a buffer larger than the {self.flight(clients)} clients in "
                f"flight, of {clients}; lower it, or raise schedule.{'in_flight' if self.in_flight else 'c_ratio'}"
            )
        return number

    def flight(self, clients: int) -> int:
        """How many clients the first choice sets to work."""
        return self.in_flight or (clients if self.choose == "full" else part(self.c_ratio, clients))

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps, and between them, with no updates, those that only start jobs."""
        self.check(world)
        floor = Floor(self, world, clock)
        wanted = floor.number()
        yield floor.step((), floor.chosen())
        while floor.index < world.rounds:
            if len(floor.buffer) >= wanted:
                done = floor.combined(wanted)
                wanted = floor.number() if floor.index < world.rounds else 0
                yield floor.step(done, floor.after_step(wanted) if wanted else ())
            elif jobs := floor.advance(wanted):
                yield floor.step((), jobs)


class Floor:
    """What goes on between the server's steps: who trains, who is idle, what waits in the buffer."""

    def __init__(self, knobs: Buffered, world: World, clock: Clock):
        self._knobs, self._world, self._clock = knobs, world, clock
        self._start = Starter(world)
        self._idle = set(range(world.clients))
        self._pulls: list[tuple[float, int]] = []
        self._turns = Turns(world.clients)
        self._chosen_at, self._choices = world.first, 0
        self._lost: list[tuple[Job, str]] = []
        self._lost_in_a_row = 0
        self.index = world.first
        self.buffer: list[Job] = []
        if type(knobs.num_generator) is not int:
            knobs.num_generator.init()

    def number(self) -> int:
        """The updates that the next step combines."""
        number = self._knobs.num_generator
        return number if type(number) is int else self._knobs.check_number(number.get_num(), self._world.clients)

    def step(self, done: tuple[Job, ...], jobs: tuple[Job, ...]) -> Step:
        """A step that combines `done` and starts `jobs`."""
        self._clock.start(jobs)
        lost = given_up(self._lost) if done else ()
        if done:
            self._lost = []
        return Step(self.index, self._clock.now, done, jobs, lost)

    def combined(self, wanted: int) -> tuple[Job, ...]:
        """The updates that have waited longest; with them the server goes one step on."""
        done, self.buffer = self.buffer[:wanted], self.buffer[wanted:]
        self.index += 1
        return by_client(done)

    def after_step(self, wanted: int) -> tuple[Job, ...]:
        """Let in whatever arrived at this very moment too; then the jobs that start from the new model."""
        while self._take(self._clock.now):
            pass
        if self._knobs.choose == "no":  # whoever uploads now pulls after all steps of this moment
            return self._pulled() if len(self.buffer) < wanted else ()
        due = self._knobs.in_flight or self.index - self._chosen_at >= self._knobs.schedule_interval
        return self.chosen() if due and self._may_choose() else ()

    def advance(self, wanted: int) -> tuple[Job, ...]:
        """Go on to the next arrival or pull, and start what that lets start."""
        if len(self._idle) == self._world.clients and not self._pulls:
            return self.chosen()  # nothing else would ever happen
        if not self._take(self._pulls[0][0] if self._pulls else math.inf):
            return self._pulled()
        if self._knobs.in_flight and self._knobs.choose != "no" and len(self.buffer) < wanted and self._may_choose():
            return self.chosen()
        return ()

    def chosen(self) -> tuple[Job, ...]:
        """Jobs for some of the idle clients."""
        knobs = self._knobs
        idle = sorted(self._idle)
        running = self._world.clients - len(idle)
        size = part(knobs.c_ratio, len(idle)) if knobs.in_flight is None else knobs.in_flight - running
        if knobs.choose == "full":
            size = len(idle)
        if not idle or size < 1:
            return ()
        if self._chosen_at != self.index:
            self._chosen_at, self._choices = self.index, 0
        again = ("again", self._choices) if self._choices else ()
        self._choices += 1
        if knobs.choose == "round_robin":
            return self._begin(self._turns(idle, size))
        return self._begin(draw(self._world.seed, idle, size, self.index, *again))

    def _may_choose(self) -> bool:
        return self._knobs.schedule_delay is None or len(self.buffer) <= self._knobs.schedule_delay

    def _take(self, until: float) -> bool:
        """Let time go on to the end of a job, or to `until` and say False; the update is let in or lost."""
        job = self._clock.next(until)
        if job is None:
            return False
        self._idle.add(job.client)
        if self._knobs.choose == "no":
            heappush(self._pulls, (self._clock.now + self._knobs.acquire_model_delay, job.client))
        outdated = self._knobs.checker == "current" and job.version != self.index
        self._lost_in_a_row += 1
        if job.dropped or outdated:
            self._lost.append((job, "dropped" if job.dropped else "straggler"))
        else:
            self.buffer.append(job)
            self._lost_in_a_row = 0
        if self._lost_in_a_row == PATIENCE * self._world.clients:
            raise nobody_arrives(f"{self._lost_in_a_row} jobs in a row")
        return True

    def _pulled(self) -> tuple[Job, ...]:
        """Jobs of the clients whose time to pull the model has come."""
        clients = []
        while self._pulls and self._pulls[0][0] <= self._clock.now:
            clients.append(heappop(self._pulls)[1])
        return self._begin(clients)

    def _begin(self, clients: Any) -> tuple[Job, ...]:
        self._idle.difference_update(clients)
        return self._start(clients, self.index, self._clock.now)
