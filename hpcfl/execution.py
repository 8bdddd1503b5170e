"""One after the other or many as one program? A rule of the job, its model and the kind of device, never of a clock.

Measured with `hpcfl bench` (docs/speed.md): on a CPU a stack pays where a step costs more calls than numbers, as in
small fully connected models, and not for convolutions. On a GPU it is taken wherever it can be, unmeasured so far.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from hpcfl.batched import Batched, obstacle, unstackable
from hpcfl.errors import JobError
from hpcfl.plan import overlaps
from hpcfl.recorded import program
from hpcfl.schema import JobSpec
from hpcfl.strategies import FedAvg
from hpcfl.training import Trainer

__all__ = ["choose", "require_rounds", "stacks_learners"]

SMALL = 200_000
"""Parameters up to which `auto` stacks models on a CPU."""
CLIENTS = {"cpu": 64, "cuda": 256}
"""Most clients of a program, by kind of device."""
NUMBERS = {"cpu": 1 << 23, "cuda": 1 << 30}
"""Most numbers of a stack of models: on a CPU what the caches can still help with, on a GPU 4 GiB."""


def choose(spec: JobSpec, schedule: Any, trainer: Trainer) -> Batched | None:
    """The batched backend where the job asks for it, or where `auto` finds it faster; JobError where it cannot be."""
    if spec.execution == "sequential":
        return None
    why = obstacle(trainer)
    if spec.device.compile:
        why = "device.compile compiles the model of one client"
    if spec.clock == "wall" or overlaps(schedule):
        why = "asynchronous jobs come one by one"
    if spec.execution == "batched" and why:
        raise JobError(f'execution = "batched": cannot be: {why}; leave it to "auto", or say "sequential"')
    if why or (spec.execution == "auto" and not pays(trainer)):
        return None
    kind = trainer.device.type
    return program(trainer, max(1, min(CLIENTS[kind], NUMBERS[kind] // trainer.layout.size)))


def require_rounds(spec: JobSpec, strategy: Any, schedule: Any) -> None:
    """JobError where neighbours are to mix, but have no homes, or no moment at which all have trained."""
    mixed = [name for name, how in strategy.uploads.items() if how == "neighbours"]
    if mixed and not strategy.private:
        raise JobError(
            f"strategy = {spec.strategy.name!r}: uploads[{mixed[0]!r}] = 'neighbours' needs private = True: what is "
            "mixed stays with the clients"
        )
    if mixed and (overlaps(schedule) or spec.clock == "wall"):
        wrong = 'clock = "wall"' if spec.clock == "wall" else f"schedule = {spec.schedule.name!r}"
        raise JobError(
            f"strategy = {spec.strategy.name!r}: neighbours mix their models when all of a round have trained, but "
            f'with {wrong} jobs end one by one; valid: schedule = "synchronous" with clock = "virtual"'
        )


def stacks_learners(spec: JobSpec, trainer: Trainer) -> bool:
    """Whether an algorithm's several learners of a client are one program: where that can be, and is faster."""
    corrects = type(trainer.strategy).correct is not FedAvg.correct
    return spec.execution != "sequential" and not corrects and not unstackable(trainer) and pays(trainer)


def pays(trainer: Trainer) -> bool:
    """Whether a stack is expected to be faster."""
    if trainer.device.type == "cuda":
        return True
    convolves = any(isinstance(part, nn.modules.conv._ConvNd) for part in trainer.module.modules())
    return not convolves and trainer.layout.size <= SMALL
