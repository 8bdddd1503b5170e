"""The real clock: a job ends when its update is here and its client's delay has passed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from heapq import heappop, heappush
from time import perf_counter

from hpcfl.core import Job, World
from hpcfl.farm import Farm

__all__ = ["WallClock"]


class WallClock:
    """The clock of `clock = "wall"`, over the pool where the jobs really are.

    Delays and transfer times of the device model are waited for here, while the rank trains somebody else. Jobs that
    the model drops are never sent; the server gives up on them when they would have ended.
    """

    def __init__(self, pool: Farm, world: World, since: float = 0.0):
        """`since`: seconds that the run had lasted before it was resumed."""
        self._pool, self._world = pool, world
        self._begin = perf_counter() - since
        self._ready: list[tuple[float, tuple[int, int, int], Job]] = []
        self.running = 0

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return perf_counter() - self._begin

    def start(self, jobs: Iterable[Job]) -> None:
        """These jobs run from now on."""
        for job in jobs:
            self.running += 1
            if job.dropped:
                heappush(self._ready, (job.finish, job.key, job))

    def next(self, until: float = math.inf) -> Job | None:
        """The job that ends first, its `finish` the real one; None at `until`, or if nothing runs."""
        while self.running:
            ends = self._ready[0][0] if self._ready else math.inf
            if ends <= self.now:
                finish, _, job = heappop(self._ready)
                self.running -= 1
                return replace(job, finish=finish)
            left = min(ends, until) - self.now
            job = self._pool.arrival(left)
            if job is not None:
                heappush(self._ready, (self.now + self._waits(job), job.key, job))
            elif left <= 0:
                return None
        if not math.isinf(until):
            self._pool.rest(until - self.now)
        return None

    def _waits(self, job: Job) -> float:
        """Seconds that the device model adds to a job: until the client is there, its transfers, its delay."""
        devices = self._world.devices
        lasts = devices.duration(job.client, 0, self._world.travels(job.version)) + devices.lateness(*job.key)
        return devices.wait(job.client, job.start) + lasts
