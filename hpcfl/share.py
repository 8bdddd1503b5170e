"""A rank's share of a step: its clients trained one after the other, each summed up as it finishes."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl.batched import Batched, Trained
from hpcfl.core import Job, Program, first_line
from hpcfl.errors import JobError, TrainingError
from hpcfl.family import Family
from hpcfl.flat import largest
from hpcfl.halving import attempt
from hpcfl.orders import Order
from hpcfl.sums import LIMIT, TOGETHER, ExactSum, FloatSum
from hpcfl.training import Trainer

__all__ = ["Share", "Sums", "examine", "located", "places"]


class Sums:
    """The memory that a rank sums up in, kept from step to step: getting it anew costs more than using it."""

    def __init__(
        self,
        reproducible: bool,
        device: torch.device,
        empty: Callable[..., Tensor] = torch.empty,
        stay: int = TOGETHER,
    ):
        """`stay`: so many uploads in a row stay as they are; `Trainer.stay` of one that makes them."""
        self.exact = reproducible
        self._empty = empty
        self._kind = partial(ExactSum, stay=stay) if reproducible else FloatSum
        self._device = device
        self._known: dict[tuple[str, tuple[int, ...]], Any] = {}

    def fresh(self, name: str, shape: tuple[int, ...]) -> Any:
        """An empty sum for the upload `name`."""
        if (name, shape) not in self._known:
            self._known[name, shape] = self._kind(shape, self._device, self._empty)
        total = self._known[name, shape]
        total.clear()
        return total


class Share:
    """Sums, kept uploads and reports of the jobs that one rank trains. Memory does not grow with their number.

    With `keep` nothing is summed: every upload is kept, in the memory it lies in until the next job.
    """

    def __init__(self, order: Order, trainer: Trainer, sums: Sums, keep: bool = False):
        trainer.begin(order.jobs)
        self._order, self._trainer = order, trainer
        self._uploads: dict[str, str] = trainer.strategy.uploads
        self._wholes = {how: sum(job.counts(how) for job in order.jobs) for how in ("examples", "clients")}
        self._keep = keep
        self._family = trainer.family
        self._averaged = [name for name, how in self._uploads.items() if how in self._wholes]
        self._limited = [name for name, how in self._uploads.items() if sums.exact and how not in ("each", "bytes")]
        """What ends in an exact sum."""
        summed = [] if keep else self._averaged
        self.sums = {name: sums.fresh(name, self._shape(name)) for name in summed}
        self.kept: dict[str, list[Tensor]] = {name: [] for name in self._uploads if name not in summed}
        self.rows: list[list[float]] = []
        """For each job: client, steps, loss, seconds, whether it failed."""
        self.reasons: list[str] = []
        """Of the failed ones, in order."""
        self.seconds = 0.0
        """Spent training."""

    def train(self, program: Program, batched: Batched | None = None) -> None:
        """Train clients and take their uploads in: together, or one after the other."""
        before = [versions(self._order.sent(job)) for job in program]
        if batched is None or not self._train_together(program, batched):
            for job in program:
                self._train_one(job)
        if before != [versions(self._order.sent(job)) for job in program]:
            raise JobError("strategy: `local` changed a tensor that was sent to all clients in place; change a clone")

    def finish(self) -> None:
        """All were trained."""

    def _train_together(self, program: Program, batched: Batched) -> bool:
        """Whether it could be done: where a hook fails, one after the other shows whose failure it is."""
        begin = perf_counter()
        try:
            trained = batched.train(program, [self._order.sent(job) for job in program])
        except Exception:
            return False
        means = [loss / max(1, examples) for loss, examples in zip(trained.losses.tolist(), trained.examples)]
        taken = perf_counter()
        if self._all_fit(trained, means, program):
            self._take_stack(program, trained.uploads)
            reasons = [None] * len(program)
        else:
            each = [{name: values[row] for name, values in trained.uploads.items()} for row in range(len(program))]
            reasons = [self._unfit(*given) for given in zip(each, means, program)]
            for job, uploads, reason in zip(program, each, reasons):
                if reason is None:
                    self._take(job, uploads)
        for job, steps, loss, reason in zip(program, trained.steps, means, reasons):
            self._enter(job, steps, loss, reason, (taken - begin) / len(program))
        self.seconds += perf_counter() - taken
        return True

    def _all_fit(self, trained: Trained, losses: list[float], program: Program) -> bool:
        """Whether every client's uploads can be taken; said of all at once, in a fraction of the time."""
        return set(trained.uploads) == set(self._uploads) and all(map(math.isfinite, losses)) and all(
            largest(values, LIMIT) < LIMIT and values.shape[1:] == self._expected(name, values[0], program[0])
            for name, values in trained.uploads.items()
        )  # fmt: skip

    def _take_stack(self, program: Program, uploads: dict[str, Tensor]) -> None:
        for name, values in uploads.items():
            if name in self.sums:
                self.sums[name].add_stack(values, [self.weight(name, job) for job in program])
            else:
                text = self._uploads[name] == "bytes"
                self.kept[name].extend((values if text else values.float()).clone())

    def _train_one(self, job: Job) -> None:
        """What goes wrong is that client's failure."""
        begin = perf_counter()
        steps, loss = 0, math.nan
        try:
            uploads, fit = attempt(self._trainer, job, self._order.sent(job))
            steps, loss = fit.steps, fit.loss.item() / max(1, fit.examples)
            reason = self._unfit(uploads, loss if fit.measures else 0.0, job)
            if reason is None:
                self._trainer.keep(fit)
                self._take(job, uploads)
        except Exception as failure:
            reason = located(failure)
        self._enter(job, steps, loss, reason, perf_counter() - begin)

    def _enter(self, job: Job, steps: int, loss: float, reason: str | None, seconds: float) -> None:
        if reason is not None:
            self.reasons.append(reason)
        self.rows.append([job.client, steps, loss, seconds, reason is not None])
        self.seconds += seconds

    def weight(self, name: str, job: Job) -> float:
        """The job's share of the planned whole in the average of an upload."""
        how = self._uploads[name]
        return job.counts(how) / self._wholes[how]

    def _take(self, job: Job, uploads: dict[str, Tensor]) -> None:
        for name, value in uploads.items():
            if name in self.sums:
                self.sums[name].add(value, self.weight(name, job), places(self._family, job))
            else:
                kept = value if self._uploads[name] == "bytes" and not self._keep else value.float()
                self.kept[name].append(kept if self._keep else kept.clone())

    def _unfit(self, uploads: dict[str, Tensor], loss: float, job: Job) -> str | None:
        """Why these uploads cannot be taken, or None."""
        if reason := self._misshapen(uploads, job):
            return reason
        return self._unsound(loss, {name: largest(value, LIMIT) for name, value in uploads.items()})

    def _misshapen(self, uploads: dict[str, Tensor], job: Job) -> str | None:
        """What their names and shapes say against them."""
        if set(uploads) != set(self._uploads):
            return f"local returned {sorted(uploads)}, but the strategy's uploads are {sorted(self._uploads)}"
        for name, value in uploads.items():
            expected = self._expected(name, value, job)
            if value.shape != expected:
                return f"upload {name!r} has shape {tuple(value.shape)}, expected {tuple(expected)}"
        return None

    def _unsound(self, loss: float, sizes: dict[str, float]) -> str | None:
        """What the loss, and the largest magnitude of each upload, say against them."""
        if not math.isfinite(loss):
            return f"training loss is {loss}"
        for name, size in sizes.items():
            if not math.isfinite(size):
                return f"non-finite values in the upload {name!r}"
            if name in self._limited and size >= LIMIT:
                return f"upload {name!r} diverged: a value of {size:.3g} is beyond the {LIMIT:g} that exact sums hold"
        return None

    def _expected(self, name: str, value: Tensor, job: Job) -> tuple[int, ...]:
        """The shape that the upload must have: of an average what was sent, or the part of it that the client's
        architecture has; of one that is mixed what the client has at home; of others that of the first one, and of
        bytes any."""
        if self._family and name in self._averaged:
            return (self._family.averaged(self._family.of[job.client]),)
        if self._uploads[name] == "neighbours":
            return tuple(self._trainer.homes.latest(job.client)[name].shape)
        if name in self._averaged:
            return self._shape(name)
        return tuple((value if self._uploads[name] == "bytes" else next(iter(self.kept[name]), value)).shape)

    def _shape(self, name: str) -> tuple[int, ...]:
        """An averaged upload looks like what was sent under its name, or is a scalar."""
        return next((tuple(parcel[name].shape) for parcel in self._order.parcels if name in parcel), ())


def examine(order: Order, jobs: Sequence[Job], trainer: Trainer) -> list[list[float]]:
    """For each of some jobs of the order: client, and what `Trainer.examine` found."""
    rows = []
    for job in jobs:
        sent = order.sent(job)
        before = versions(sent)
        try:
            rows.append([job.client, *trainer.examine(job, sent, order.after[job.client])])
        except Exception as failure:
            what = f"the evaluation of client {job.client}'s own model failed after step {job.version}"
            raise TrainingError(f"{what}: {located(failure)}") from failure
        if before != versions(sent):
            raise JobError("strategy: `personal` changed a tensor that was sent to all clients; change a clone")
    return rows


def versions(sent: Mapping[str, Tensor]) -> list[int]:
    """They grow when a tensor is changed in place."""
    return [tensor._version for tensor in sent.values()]


def places(family: Family | None, job: Job) -> list[tuple[int, int]] | None:
    """Where the job's uploads belong in the sums; None where they are as long as these."""
    return family.places(job.client) if family else None


def located(failure: Exception) -> str:
    """The failure and the line that raised it."""
    place = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{first_line(failure)} ({place.filename.rpartition('/')[2]}:{place.lineno})"
