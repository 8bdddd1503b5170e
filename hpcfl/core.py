"""The nouns that every part shares: world, job, step, update, cohort."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapreplace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfl.devices import Devices
from hpcfl.errors import JobError
from hpcfl.rng import stream

if TYPE_CHECKING:
    from torch import Tensor

    from hpcfl.family import Family
    from hpcfl.flat import Layout


def whole_model(version: int) -> float:
    """All of the model travels."""
    return 1.0


@dataclass(frozen=True)
class World:
    """What a schedule and a strategy may know of the run: the clients and their data, never the ranks."""

    seed: int
    rounds: int
    """Server steps to make."""
    counts: np.ndarray
    """(clients, classes) int64: training samples of each class that each client holds that trains."""
    batch_size: int
    epochs: tuple[int, int]
    """Fewest and most local epochs of a job, drawn uniformly."""
    devices: Devices
    """How fast the simulated clients are, and how reliable."""
    groups: tuple[tuple[int, ...], ...] = ()
    """The clients in groups (tiers), the fastest first; one group of all unless the schedule says otherwise."""
    travels: Callable[[int], float] = whole_model
    """server step -> the share of the model that travels in its jobs."""
    layout: Layout | None = None
    """The model vector's layout; None where only the schedule is wanted. Of a family that of its first architecture."""
    initial: Tensor | None = None
    """(P,) float32: the model every run of this seed starts from; with a family all that its clients average."""
    draw: Callable[[int], Tensor] | None = None
    """number -> (P,) another model to start from; 0 is `initial`."""
    family: Family | None = None
    """The clients' architectures and what they average, for an algorithm that lets them differ."""
    slices: int = 1
    """Of each client's training samples; a job is on one of them."""
    held_out: np.ndarray | None = None
    """(clients,) int64: samples that each client keeps back to evaluate its own model; None where none does."""
    unseen: np.ndarray | None = None
    """(M, classes) as `counts`, of the clients that never train: their numbers go on from those that do."""
    first: int = 0
    """The server step from which a schedule begins: 0 but where a run on the real clock is resumed."""

    @property
    def clients(self) -> int:
        """Number of virtual clients that train."""
        return len(self.counts)

    @cached_property
    def everyone(self) -> np.ndarray:
        """(N, classes) as `counts`, of those that never train too."""
        return self.counts if self.unseen is None else np.concatenate([self.counts, self.unseen])

    def examples(self, client: int) -> int:
        """Training samples of the client, in all of its slices."""
        return self._examples[client]

    def span(self, client: int, version: int, visit: int = 0) -> tuple[int, int]:
        """(begin, end) of the client's training samples that a job is on: the slice whose turn it is."""
        examples = self.examples(client)
        if self.slices == 1:
            return 0, examples
        turn = (version + max(0, visit)) % self.slices
        return examples * turn // self.slices, examples * (turn + 1) // self.slices

    def job_epochs(self, client: int, version: int, visit: int = 0) -> int:
        """Local epochs of one job; the same wherever and whenever it is asked."""
        low, high = self.epochs
        return low if low == high else int(stream(self.seed, "epochs", client, version, visit).integers(low, high + 1))

    def job(
        self, client: int, version: int, start: float, visit: int = 0, epochs: int | None = None,
        lr: float | None = None,
    ) -> Job:  # fmt: skip
        """The job of training `client` from the model of server step `version`, sent at virtual time `start`.

        It begins when the client's window of availability is open; the waiting is part of the job.
        `visit` counts the client's jobs from that same model: 0 for the first. `epochs` and `lr`: its own, where a
        strategy sets them job by job.
        """
        begin, end = self.span(client, version, visit)
        examples, epochs = end - begin, epochs or self.job_epochs(client, version, visit)
        steps = epochs * math.ceil(examples / self.batch_size)
        waiting = self.devices.wait(client, start)
        lasts = self.devices.duration(client, steps, self.travels(version))
        finish = start + (waiting + lasts + self.devices.lateness(client, version, visit))
        dropped = self.devices.drops(client, version, visit)
        return Job(client, version, start, finish, examples, epochs, steps, visit, dropped, lr)

    @cached_property
    def _examples(self) -> list[int]:
        """Per client: plans ask for each of their jobs."""
        return self.everyone.sum(axis=1).tolist()


@dataclass(frozen=True)
class Job:
    """One client's local training, from one version of the model."""

    client: int
    version: int
    """The server step whose model the client starts from."""
    start: float
    finish: float
    """When it ends on the virtual clock [s]."""
    examples: int
    epochs: int
    steps: int
    """Local optimizer steps planned."""
    visit: int = 0
    """How many jobs the client had from this same model before."""
    dropped: bool = False
    """The simulated device fails: nothing arrives, and the server gives up on it at `finish`."""
    lr: float | None = None
    """Its own learning rate, in place of the job file's."""

    @property
    def key(self) -> tuple[int, int, int]:
        """What names the job in its run."""
        return self.client, self.version, self.visit

    def counts(self, how: str) -> int:
        """What the job counts in an average over "examples" or over "clients"."""
        return self.examples if how == "examples" else 1

    @property
    def cost(self) -> int:
        """Samples x epochs: what balances the ranks."""
        return self.examples * self.epochs


@dataclass(frozen=True)
class Step:
    """A step of the server: which jobs end with it, and which start from the model it makes."""

    index: int
    time: float
    """Virtual seconds since the start."""
    done: tuple[Job, ...]
    """Jobs whose updates are combined in this step; none where the step only starts jobs."""
    start: tuple[Job, ...]
    lost: tuple[tuple[Job, str], ...] = ()
    """Jobs given up since the last step that combined any, each with its status: "straggler" or "dropped"."""
    group: int = 0
    """The group (tier) that the step belongs to."""
    unused: tuple[Job, ...] = ()
    """Jobs that start too, but that no step of this run combines: nobody does them."""
    choose: Callable[[dict[str, Tensor]], tuple[Job, ...]] | None = None
    """state -> the jobs that start, where only the model that the step makes tells which these are."""
    reject: Callable[[], None] | None = None
    """Says, in place of going on from the step, that too few of its jobs succeeded: the next one is a new try. None
    where there is none left."""

    def staleness(self, job: Job) -> int:
        """Server steps made between the model that the job started from and this one."""
        return self.index - 1 - job.version


@dataclass(frozen=True)
class Update:
    """What became of a job. The uploaded tensors are not here: the cohort has their means."""

    job: Job
    rank: int
    steps: int
    """Local steps really made."""
    loss: float
    """Mean training loss over the job's samples."""
    seconds: float
    """Wall time of the training."""
    staleness: int
    """Server steps made between the model that the client started from and this one."""
    failure: str | None = None
    """Why there is no result, or None."""
    peers: int = 1
    """How many it sent its model to, and got one from: the server, or in its place so many neighbours."""


@dataclass(frozen=True)
class Cohort:
    """The updates of one step, as a strategy's `combine` sees them: those that succeeded, by client id."""

    updates: tuple[Update, ...]
    failures: tuple[Update, ...] = ()
    means: dict[str, Tensor] = field(default_factory=dict)
    each: dict[str, Tensor | Sequence[Tensor]] = field(default_factory=dict)
    step: int = 0
    """The server step that combines them."""
    group: int = 0
    """Their group (tier)."""

    def __len__(self) -> int:
        return len(self.updates)

    def __iter__(self) -> Iterator[Update]:
        return iter(self.updates)

    def mean(self, name: str) -> Tensor:
        """The mean of an upload over the cohort, weighted as the strategy's `uploads` says: one reduction."""
        return _upload(self.means, name, "averaged")

    def gather(self, name: str) -> Tensor:
        """(updates, ...) every client's upload, in the order of iteration. The cost is in the name."""
        each = self.every(name)
        if isinstance(each, list):
            from torch import stack  # what has uploads has imported it

            each = stack(each)
        return each

    def every(self, name: str) -> Sequence[Tensor]:
        """The same as `gather`, one after the other where they lie: no copy."""
        return _upload(self.each, name, 'brought as "each"')


def _upload(uploads: dict[str, Any], name: str, how: str) -> Any:
    if name not in uploads:
        raise JobError(f"no upload {name!r} is {how}: the strategy's `uploads` have {', '.join(uploads) or 'none'}")
    return uploads[name]


Send = Callable[[int], "dict[str, Tensor]"]
"""client -> the named tensors that it receives. Tensors shared between clients travel once."""


Program = list[Job]
"""Jobs that a rank trains together."""


def programs(jobs: Sequence[Job], size: int) -> list[Program]:
    """The jobs in programs of `size` at most, as even as can be; those with about as many steps share one.

    Which jobs share one depends on the jobs alone, so that the bits do not depend on the ranks.
    """
    if size == 1:
        return [[job] for job in jobs]
    ordered = sorted(jobs, key=lambda job: (job.steps, job.client))
    number = max(1, math.ceil(len(jobs) / size))
    ends = [len(jobs) * end // number for end in range(number + 1)]
    return [ordered[begin:end] for begin, end in zip(ends, ends[1:]) if begin < end]


def deal(jobs: Sequence[Program], workers: int) -> list[list[Program]]:
    """Deal programs to `workers`, longest first to the least loaded: the same on every rank that asks."""
    loads = [(0, worker) for worker in range(workers)]
    hands: list[list[Program]] = [[] for _ in range(workers)]
    costs = [(-sum(job.cost for job in program), program[0].client, program) for program in jobs]
    for cost, _, program in sorted(costs, key=lambda priced: priced[:2]):
        load, worker = loads[0]
        heapreplace(loads, (load - cost, worker))
        hands[worker].append(program)
    return hands


def singly(hands: Sequence[Sequence[Program]]) -> list[list[Job]]:
    """Every worker's jobs, in the order of its programs."""
    return [[job for program in hand for job in program] for hand in hands]


def shares(jobs: Sequence[Job], workers: int) -> list[list[Job]]:
    """`deal` of single jobs."""
    return singly(deal(programs(jobs, 1), workers))


def first_line(error: BaseException) -> str:
    """An exception as one short line: its type and the first line of what it says."""
    said: Any = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {said[0]}"[:500].rstrip(": ")
