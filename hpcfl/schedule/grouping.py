"""Groups of clients that keep pace with one another, the fastest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Gt

from hpcfl.core import World
from hpcfl.errors import JobError

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class One:
    """Everybody in one group."""

    def __call__(self, world: World) -> Groups:
        """One tuple of all clients."""
        return (tuple(range(world.clients)),)


@dataclass(frozen=True)
class Delay:
    """By what `client.device.stale` adds to an update: group floor(delay / step); empty groups are left out."""

    step: Annotated[float, Gt(0)]
    """Width of a group [s]."""

    def __call__(self, world: World) -> Groups:
        """Group by group its clients, by id."""
        number = np.floor(world.devices.delay_s / self.step)
        return tuple(tuple(np.flatnonzero(number == found).tolist()) for found in np.unique(number))


@dataclass(frozen=True)
class Latency:
    """By how long a job of theirs takes: tiers of equal size, tier 0 the fastest (Chai et al. 2021, FedAT)."""

    tiers: Annotated[int, Gt(0)]
    """Number of tiers."""

    def __call__(self, world: World) -> Groups:
        """Tier by tier its clients, by id; JobError if some would have none. Ties go to the lower client."""
        if self.tiers > world.clients:
            raise JobError(
                f"schedule.group.tiers = {self.tiers}: tiers without clients, there are only {world.clients} clients"
            )
        epochs, size = sum(world.epochs) / 2, world.slices * world.batch_size
        steps = [epochs * math.ceil(world.examples(client) / size) for client in range(world.clients)]
        latency = [world.devices.duration(client, count) for client, count in enumerate(steps)]
        order = np.argsort(latency, kind="stable")
        return tuple(tuple(sorted(tier.tolist())) for tier in np.array_split(order, self.tiers))


GROUPINGS = {"one": One, "delay": Delay, "latency": Latency}
