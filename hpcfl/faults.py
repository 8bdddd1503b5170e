"""Clients that lie, updates that are damaged, ranks that die, on purpose: whom it hits follows from the job alone.

    sign_flip: w_k = w - scale d_k;   noise: w_k = w + N(0, std^2 I);   label_flip: trained on labels c - 1 - y

of c classes, where an honest client changes w by d_k. As in Blanchard et al. 2017 (noise) and Li et al. 2019, AAAI.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt

from hpcfl.core import Job
from hpcfl.errors import JobError
from hpcfl.overlay import CHANGE, MODEL, bases, overlay
from hpcfl.rng import seed64, stream
from hpcfl.schema import Faults, JobSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ATTACKS",
    "LabelFlip",
    "Noise",
    "SignFlip",
    "afflict",
    "byzantine",
    "damage",
    "damaged",
    "mortal",
    "require_mortals",
    "unmeasured",
]

BITS = 1000
"""A damaged upload has one bit turned in one of so many numbers, in one number at least."""


@dataclass(frozen=True)
class SignFlip:
    """The client goes the other way."""

    scale: Annotated[float, Gt(0)] = 1.0
    """How many times as far."""

    def __call__(self, change: Tensor, rng: np.random.Generator) -> Tensor:
        return change * -self.scale


@dataclass(frozen=True)
class Noise:
    """The client sends random numbers instead of what it learnt."""

    std: Annotated[float, Gt(0)] = 1.0
    """Their standard deviation; weights of a model are mostly below 0.1."""

    def __call__(self, change: Tensor, rng: np.random.Generator) -> Tensor:
        return change.new_tensor(rng.standard_normal(change.numel(), dtype="float32")).view_as(change) * self.std


@dataclass(frozen=True)
class LabelFlip:
    """The client trains as it should, on wrong labels."""

    def labels(self, labels: Tensor, classes: int) -> Tensor:
        return classes - 1 - labels


ATTACKS = {"sign_flip": SignFlip, "noise": Noise, "label_flip": LabelFlip}


def byzantine(faults: Faults | None, seed: int, clients: int) -> frozenset[int]:
    """Which of the clients lie: the share of them, to the nearest whole client."""
    count = round(faults.byzantine * clients) if faults else 0
    return frozenset(stream(seed, "byzantine").choice(clients, count, replace=False).tolist())


def damaged(faults: Faults | None, seed: int, job: Any) -> bool:
    """Whether the update of a job, or of the client at work on it, is damaged on its way."""
    if not faults or not faults.corrupt:
        return False
    client = job.client if isinstance(job, Job) else job.id
    return seed64(seed, "corrupt", client, job.version, job.visit) < faults.corrupt * 2.0**63


def require_mortals(spec: JobSpec, ranks: int | None = None) -> None:
    """JobError if a rank that is to die is not among the `ranks`, or its round not among the job's."""
    for number, kill in enumerate(spec.faults.kill if spec.faults else ()):
        key = f"faults.kill.{number}"
        if kill.at > spec.rounds:
            raise JobError(f"{key}.at = {kill.at}: the job has {spec.rounds} rounds")
        if ranks == 1:
            raise JobError(f"{key}: this run is one process, and would end with it; start several, say by mpirun -np 3")
        if ranks and kill.rank >= ranks:
            raise JobError(f"{key}.rank = {kill.rank}: there is no such rank; valid: 1 to {ranks - 1}")


def mortal(faults: Faults | None, rank: int, made: int) -> Callable[[Sequence[Job]], None]:
    """What this rank does as it begins jobs: it lives on, or ends at once without a last word to anybody but the user.

    `made`: the steps that the run had made when it began; who was to die in one of them does not do so again.
    """
    steps = [kill.at for kill in faults.kill if kill.rank == rank and kill.at > made] if faults else []

    def begin(jobs: Sequence[Job]) -> None:
        step = 1 + max((job.version for job in jobs), default=-1)
        if steps and step >= min(steps):
            os.write(2, f"hpcfl: rank {rank} ends itself in round {step}, as faults.kill says\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return begin


class Faulty:
    """Goes before an algorithm: some of its clients lie in what they upload."""

    attack: ClassVar[Any]
    liars: ClassVar[frozenset[int]]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = dict(super().local(fit, sent, client))
        if client.id in self.liars and callable(self.attack):
            rng = client.stream("attack")
            for name, base in bases(self, uploads, sent, client).items():
                uploads[name] = base + self.attack(uploads[name] - base, rng)
        return uploads


class Mislabelled(Faulty):
    """A `Faulty` one whose liars train on wrong labels."""

    def loss(self, logits: Tensor, labels: Tensor, client: Any) -> Tensor:
        if client.id in self.liars:
            labels = self.attack.labels(labels, logits.shape[1])
        return super().loss(logits, labels, client)


class Damaged:
    """Goes before an algorithm: some uploads are damaged on their way, which their clients do not know."""

    faults: ClassVar[Faults]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = dict(super().local(fit, sent, client))
        if damaged(self.faults, client.seed, client):
            rng = client.stream("damage")
            for name in sorted(name for name, value in uploads.items() if value.is_floating_point()):
                uploads[name] = with_bits_turned(uploads[name], rng)
        return uploads


def unmeasured(uploads: Mapping[str, str]) -> str:
    """Why no change of a client's is known from these uploads; empty if one is."""
    if uploads.get(MODEL) == "neighbours":
        return "the algorithm's clients send their models to neighbours, and start from none that was sent to them"
    if not {MODEL, CHANGE} & uploads.keys():
        return f"the algorithm uploads {', '.join(uploads)}, and neither a model {MODEL!r} nor a {CHANGE!r}"
    return ""


def with_bits_turned(value: Tensor, rng: np.random.Generator) -> Tensor:
    """A copy of an upload, damaged."""
    numbers = value.detach().float().cpu().numpy().copy().reshape(-1)
    hit = rng.integers(0, numbers.size, max(1, numbers.size // BITS))
    bits = numbers.view(np.uint32)
    np.bitwise_xor.at(bits, hit, np.uint32(1) << rng.integers(0, 32, len(hit), dtype=np.uint32))
    return value.new_tensor(numbers).view_as(value)


def afflict(strategy: Any, faults: Faults, attack: Any, seed: int, clients: int) -> Any:
    """The algorithm with the job's liars among its clients; JobError if its clients cannot lie so."""
    if not (callable(attack) or hasattr(attack, "labels")):
        raise JobError(
            f"faults.attack = {faults.attack.name!r}: gives a {type(attack).__name__}, which can neither be called "
            "with a change and a generator nor has `labels`"
        )
    liars = byzantine(faults, seed, clients)
    if liars and callable(attack) and (missing := unmeasured(strategy.uploads)):
        raise JobError(
            f"faults.attack = {faults.attack.name!r}: {missing}, so that clients cannot lie; valid: label_flip"
        )
    if not liars:
        return strategy
    mislabels = hasattr(attack, "labels")
    return overlay(strategy, Mislabelled if mislabels else Faulty, attack=attack, liars=liars)


def damage(strategy: Any, faults: Faults) -> Any:
    """The algorithm with some of its clients' uploads damaged, if the job has such."""
    return overlay(strategy, Damaged, faults=faults) if faults.corrupt else strategy
