"""Who trains next: clients drawn at random or by turns, and their jobs, each with an address of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from hpcfl.core import Job, World
from hpcfl.errors import TrainingError
from hpcfl.rng import stream

PATIENCE = 100
"""How often all clients, or all of a cohort, may be lost in a row before the run ends."""


class Starter:
    """Makes jobs, and counts a client's jobs from the same model, so that each draws random numbers of its own."""

    def __init__(self, world: World):
        self._world = world
        self._last: dict[int, tuple[int, int]] = {}

    def __call__(self, clients: Iterable[int], version: int, now: float) -> tuple[Job, ...]:
        """The clients' jobs from the model of step `version`, by client."""
        return tuple(self._job(client, version, now) for client in sorted(clients))

    def _job(self, client: int, version: int, now: float) -> Job:
        before, visit = self._last.get(client, (-1, 0))
        visit = visit + 1 if before == version else 0
        self._last[client] = version, visit
        return self._world.job(client, version, now, visit)


class Turns:
    """Chooses clients by turns: in their order, and after the last one from the first again."""

    def __init__(self, clients: int):
        self._clients, self._next = clients, 0

    def __call__(self, clients: Iterable[int], size: int) -> list[int]:
        """`size` of these clients, beginning with the one whose turn is next."""
        turns = sorted(clients, key=lambda client: (client - self._next) % self._clients)[:size]
        self._next = (turns[-1] + 1) % self._clients
        return turns


def part(c_ratio: float, clients: int) -> int:
    """How many clients this share of them is; at least one."""
    return max(1, round(c_ratio * clients))


def draw(seed: int, clients: Sequence[int], size: int, version: int, *purpose: str | int) -> Collection[int]:
    """`size` of the clients without replacement; the numbers belong to the version and the purpose."""
    if size >= len(clients):
        return clients
    places = stream(seed, "sample", version, *purpose).choice(len(clients), size, replace=False)
    return [clients[place] for place in places.tolist()]


def by_client(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """In the order of the clients, and of a client's jobs."""
    return tuple(sorted(jobs, key=lambda job: job.key))


def given_up(lost: Iterable[tuple[Job, str]]) -> tuple[tuple[Job, str], ...]:
    """Lost jobs, each with its status, in the same order."""
    return tuple(sorted(lost, key=lambda pair: pair[0].key))


def nobody_arrives(lost: str) -> TrainingError:
    """The end of a run whose clients bring nothing any more."""
    return TrainingError(
        f"the schedule waits in vain: {lost} brought no update; "
        "lower client.device.dropout, or let more clients train (schedule.c_ratio, schedule.in_flight)"
    )
