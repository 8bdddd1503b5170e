"""Whose job ends next? One question, two clocks: simulated time, and the time that the machine takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Protocol

from hpcfl.core import Job

__all__ = ["Clock", "VirtualClock"]


class Clock(Protocol):
    """What a schedule sees of time."""

    now: float
    """Seconds since the start of the run."""
    running: int
    """Jobs started that have not ended."""

    def start(self, jobs: Iterable[Job]) -> None:
        """These jobs run from now on (or from their own start, if that is later)."""

    def next(self, until: float = math.inf) -> Job | None:
        """Go on to the end of the job that ends first, or to `until`, or (nothing running) nowhere: then None."""


class VirtualClock:
    """Jobs end when the device model says; ties go to the lower client. Nobody waits."""

    def __init__(self, since: float = 0.0) -> None:
        self.now = since
        self._heap: list[tuple[float, int, int, int, Job]] = []

    @property
    def running(self) -> int:
        """Jobs started that have not ended."""
        return len(self._heap)

    def start(self, jobs: Iterable[Job]) -> None:
        """These jobs run from now on."""
        for job in jobs:
            heappush(self._heap, (job.finish, *job.key, job))

    def next(self, until: float = math.inf) -> Job | None:
        """The job that ends first, or None at `until`."""
        if not self._heap or self._heap[0][0] > until:
            self.now = self.now if math.isinf(until) else max(self.now, until)
            return None
        job = heappop(self._heap)[-1]
        self.now = max(self.now, job.finish)
        return job
