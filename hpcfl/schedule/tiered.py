"""Semi-asynchronous rounds: groups of clients, each in its own rhythm (Chai et al. 2021).

Inside a group everybody waits for everybody; between the groups nobody waits. A group whose clients have all answered
makes the server step, and goes on from the model of that step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Le

from hpcfl.clock import Clock
from hpcfl.core import Job, Step, World
from hpcfl.errors import JobError
from hpcfl.schedule.cohort import PATIENCE, Starter, Turns, by_client, draw, given_up, nobody_arrives, part
from hpcfl.schedule.grouping import GROUPINGS, Groups, One


@dataclass
class Round:
    """A group's round: how many still train, and what has come."""

    waiting: int
    attempt: int = 0
    """Rounds before this one, in a row, of which nothing came."""
    done: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Tiered:
    """Synchronous rounds in every group at once; the server steps when any group is complete."""

    overlapping: ClassVar[bool] = True
    components: ClassVar[dict[str, dict[str, Any]]] = {"group": GROUPINGS}
    """Fields that a job file fills with a component, and the table of its short names."""

    c_ratio: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of a group's clients that train in its round; at least one does."""
    choose: Literal["random", "round_robin"] = "random"
    """random; round_robin: by turns, in each group on its own."""
    group: Callable[[World], Groups] = One()
    """one; {name = "delay", step = s}: by `stale`, s seconds wide; {name = "latency", tiers = M}: by speed."""

    def check(self, world: World) -> None:
        """JobError unless every client is in one group."""
        groups = self._groups(world)
        members = [client for group in groups for client in group]
        if sorted(members) != list(range(world.clients)) or not all(groups):
            raise JobError(
                f"schedule.group: gives {len(groups)} groups with {[len(group) for group in groups][:10]} clients; "
                f"each of the {world.clients} clients should be in one group, and no group be without clients"
            )

    def __call__(self, world: World, clock: Clock) -> Iterator[Step]:
        """`world.rounds` steps, and before them step 0, which starts every group's first round."""
        self.check(world)
        groups, starter, index = self._groups(world), Starter(world), world.first

        def begin(group: int, attempt: int = 0) -> tuple[Job, ...]:
            purpose = (*(("group", group) if group else ()), *(("again", attempt) if attempt else ()))
            members, size = groups[group], part(self.c_ratio, len(groups[group]))
            by_turns = self.choose == "round_robin"
            drawn = turns[group](members, size) if by_turns else draw(world.seed, members, size, index, *purpose)
            rounds[group] = Round(len(drawn), attempt)
            jobs = starter(drawn, index, clock.now)
            clock.start(jobs)
            return jobs

        group_of = {client: group for group, members in enumerate(groups) for client in members}
        turns = [Turns(world.clients) for _ in groups]
        rounds: dict[int, Round] = {}
        lost: list[tuple[Job, str]] = []
        yield Step(index, clock.now, (), by_client(job for group in range(len(groups)) for job in begin(group)))
        while index < world.rounds:
            job = clock.next()
            group = group_of[job.client]
            ended = rounds[group]
            ended.waiting -= 1
            if job.dropped:
                lost.append((job, "dropped"))
            else:
                ended.done.append(job)
            if ended.waiting:
                continue
            index += 1 if ended.done else 0
            attempt = 0 if ended.done else ended.attempt + 1
            if attempt == PATIENCE:
                raise nobody_arrives(f"{PATIENCE} rounds of group {group} in a row")
            jobs = begin(group, attempt) if index < world.rounds else ()
            yield Step(index, clock.now, by_client(ended.done), jobs, given_up(lost) if ended.done else (), group)
            lost = [] if ended.done else lost

    def _groups(self, world: World) -> Groups:
        return world.groups or self.group(world)
