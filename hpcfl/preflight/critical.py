"""How long a schedule's jobs take on so many client ranks: the longest way through them, in local steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace

from hpcfl.core import Job, Step, deal, programs, singly

__all__ = ["CriticalPath", "asynchronous", "best_workers", "synchronous"]

CriticalPath = Callable[[int], list[float]]
"""Client ranks -> for each step that combines updates, the local steps between the one before and it."""

NO_SHORTER = 1.05
"""More ranks must shorten the whole by more than this to be worth having."""
MOST = 1024
"""Client ranks that are thought of."""


def synchronous(steps: Sequence[Step], size: int, private: bool) -> CriticalPath:
    """Of rounds in which every rank trains its share, dealt as the Collective deals them, in programs of `size`."""
    rounds = [step.done for step in steps if step.done]

    def path(workers: int) -> list[float]:
        return [max(sum(job.steps for job in hand) for hand in hands(jobs, workers, size, private)) for jobs in rounds]

    return path


def asynchronous(steps: Sequence[Step], private: bool) -> CriticalPath:
    """Of jobs that any free rank takes in the order of their virtual end, as the Farm gives them out."""

    def path(workers: int) -> list[float]:
        free = [[0.0] for _ in range(workers)] if private else [[0.0] * workers]
        queues: list[list[tuple[float, tuple[int, int, int], float, int]]] = [[] for _ in free]
        ends: dict[tuple[int, int, int], float] = {}
        now, spans = 0.0, []

        def take(home: int) -> None:
            """The rank that is free first does what is due first."""
            _, key, begins, length = heappop(queues[home])
            ends[key] = max(free[home][0], begins) + length
            heapreplace(free[home], ends[key])

        for step in steps:
            before = now
            for job in step.done:
                while job.key not in ends:  # what is due before it goes first
                    take(job.client % len(free))
                now = max(now, ends.pop(job.key))
            for home, queue in enumerate(queues):  # taken before the new jobs came
                while queue and free[home][0] < now:
                    take(home)
            for job in step.start:
                if not job.dropped:
                    heappush(queues[job.client % len(free)], (job.finish, job.key, now, job.steps))
            if step.done:
                spans.append(now - before)
        return spans

    return path


def hands(jobs: Sequence[Job], workers: int, size: int, private: bool) -> list[list[Job]]:
    """Each client rank's jobs of a round; a client with private state stays with one rank."""
    if private:
        return [[job for job in jobs if job.client % workers == worker] for worker in range(workers)]
    return singly(deal(programs(jobs, size), workers))


def best_workers(cost: Callable[[int], float], most: int) -> int:
    """The fewest client ranks on which the whole is hardly longer than on `most`, which can all be busy at once."""
    enough = NO_SHORTER * cost(min(most, MOST))
    return 1 + bisect_left(range(1, min(most, MOST)), True, key=lambda workers: cost(workers) <= enough)
