"""A rank's share of a step on a GPU: nothing is looked at before its end, so that the host never waits for a client.

Whether a client's loss and uploads are finite is found out on the device: what fails is summed up as zeros. The numbers
themselves come over in one piece when the last client was sent on its way. With several lanes clients train side by
side, each lane on a stream of its own; sums are taken in between, in the order of the jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl.batched import Batched
from hpcfl.core import Job, Program
from hpcfl.halving import attempt
from hpcfl.orders import Order
from hpcfl.share import LIMIT, Share, Sums, located
from hpcfl.training import Trainer

__all__ = ["Hindsight", "Lane"]


class Lane:
    """A trainer, and the stream that its clients run on: none where there is one lane."""

    def __init__(self, trainer: Trainer, stream: Any = None):
        self.trainer, self._stream = trainer, stream

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the block on the stream, after what was asked of the device so far."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """Let what is asked of the device from now on run after this lane's work."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)


class Hindsight(Share):
    """As a `Share`, which has the same sums, rows and reasons once it is finished."""

    def __init__(self, order: Order, trainer: Trainer, sums: Sums, lanes: Sequence[Lane] = ()):
        super().__init__(order, trainer, sums)
        self._lanes = lanes or [Lane(trainer)]
        self._waiting: list[Job] = []
        self._measured: list[tuple[Job, int, int, list[str]]] = []
        """For each job: steps, samples, names of its uploads."""
        self._numbers: list[Tensor] = []
        """On the device, for those that did not fail before: the loss, and the magnitude of each upload."""
        self._failed: dict[int, str] = {}
        """Place in `_measured` -> why the job has none."""
        self._begin = perf_counter()

    def _train_one(self, job: Job) -> None:
        """Put it on a lane; when each of them has a job, all are run."""
        self._waiting.append(job)
        if len(self._waiting) == len(self._lanes):
            self._run()

    def _run(self) -> None:
        done = []
        for lane, job in zip(self._lanes, self._waiting):
            with lane.running():
                try:
                    uploads, fit = attempt(lane.trainer, job, self._order.sent(job))
                    done.append((job, uploads, fit, self._misshapen(uploads, job)))
                except Exception as failure:
                    done.append((job, {}, None, located(failure)))
        for lane in self._lanes:
            lane.join()
        for job, uploads, fit, reason in done:
            self._measure(job, uploads, fit, reason)
        self._waiting.clear()

    def _train_together(self, program: Program, batched: Batched) -> bool:
        try:
            trained = batched.train(program, [self._order.sent(job) for job in program])
            reason = self._misshapen({name: values[0] for name, values in trained.uploads.items()}, program[0])
        except Exception:
            return False
        if reason is not None:
            return False
        known = self._found([trained.losses, *(largest_of_each(values) for values in trained.uploads.values())])
        good = self._good(known, trained.uploads)
        sound = {
            name: torch.where(good.view(-1, *[1] * (values.dim() - 1)), values, 0.0)
            for name, values in trained.uploads.items()
        }
        self._take_stack(program, sound)
        for job, steps, examples in zip(program, trained.steps, trained.examples):
            self._measured.append((job, steps, examples, list(trained.uploads)))
        return True

    def _measure(self, job: Job, uploads: dict[str, Tensor], fit: Any, reason: str | None) -> None:
        """Take the uploads in, as zeros where they are unsound; nothing of a job that has a reason to fail already."""
        if reason is not None:
            self._failed[len(self._measured)] = reason
            self._measured.append((job, 0, 0, []))
            return
        known = self._found([fit.loss[None], *(largest_of_each(value[None]) for value in uploads.values())])
        good = self._good(known, uploads)[0]
        self._take(job, {name: torch.where(good, value, 0) for name, value in uploads.items()})
        self._measured.append((job, fit.steps, fit.examples, list(uploads)))

    def _found(self, columns: list[Tensor]) -> Tensor:
        """(jobs, 1 + uploads) float64 the losses of some jobs and the magnitudes of their uploads, to be read later."""
        self._numbers.append(torch.stack(columns, 1))
        return self._numbers[-1]

    def _good(self, known: Tensor, names: Iterable[str]) -> Tensor:
        """(jobs,) bool which of them can be taken in."""
        good = known.isfinite().all(1)
        for column, name in enumerate(names, 1):
            if name in self._limited:
                good = good & (known[:, column] < LIMIT)
        return good

    def finish(self) -> None:
        """Look at all of it: the rows, the reasons, and which of the kept uploads stay."""
        if self._waiting:
            self._run()
        numbers = iter(torch.cat([known.flatten() for known in self._numbers]).tolist() if self._numbers else ())
        self.seconds = perf_counter() - self._begin
        steps = sum(row[1] for row in self._measured) or 1
        good = []
        for place, (job, made, examples, names) in enumerate(self._measured):
            mean, reason = math.nan, self._failed.get(place)
            if reason is None:
                mean = next(numbers) / max(1, examples)
                reason = self._unsound(mean, {name: next(numbers) for name in names})
                good.append(reason is None)
            if reason is not None:
                self.reasons.append(reason)
            self.rows.append([job.client, made, mean, self.seconds * made / steps, reason is not None])
        for name, kept in self.kept.items():
            self.kept[name] = [value for value, keep in zip(kept, good) if keep]


def largest_of_each(values: Tensor) -> Tensor:
    """(n,) float64 the largest magnitude in each of n tensors, NaN where one holds it."""
    return torch.linalg.vector_norm(values.detach().reshape(len(values), -1).float(), math.inf, 1).double()
