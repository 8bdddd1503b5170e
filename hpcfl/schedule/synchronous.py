"""Synchronous rounds: some clients train, everybody waits for them, the server steps (McMahan et al. 2017)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from hpcfl.core import Job, Step, World
from hpcfl.rng import stream


@dataclass(frozen=True)
class Synchronous:
    """In each round a share of the clients, drawn without replacement, trains the newest model."""

    c_ratio: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the clients that train in a round; at least one does."""

    def __call__(self, world: World) -> Iterator[Step]:
        """`world.rounds` steps, and before them step 0, which ends nothing and starts the first round."""
        time, running = 0.0, ()
        for index in range(world.rounds + 1):
            time = max((job.finish for job in running), default=time)
            done, running = running, self._cohort(world, index, time) if index < world.rounds else ()
            yield Step(index, time, done, running)

    def _cohort(self, world: World, version: int, time: float) -> tuple[Job, ...]:
        size = max(1, round(self.c_ratio * world.clients))
        drawn = stream(world.seed, "sample", version).choice(world.clients, size, replace=False)
        return tuple(world.job(int(client), version, time) for client in sorted(drawn))
