"""A short calibration: the job's own parts on this machine, a few local steps, a part of the test set."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl.build import Parts, assemble, choose_device
from hpcfl.core import Job, Step, programs
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.orders import Order
from hpcfl.preflight.costs import COPIES, Costs
from hpcfl.samples import Samples
from hpcfl.training import Fit, Trainer

__all__ = ["calibrate"]

STEPS = 40
"""Most local steps of the job that is timed."""
BATCHES = 4
"""Batches of the test set that are timed."""
REPEATS = 4
"""The first run warms caches, memory and the device's kernels; the fastest counts, which others disturbed least."""
CONTEXT_BYTES = 500e6
"""What CUDA and its libraries take of a GPU, whatever runs on it."""


def calibrate(job: JobFile, steps: Sequence[Step]) -> Costs:
    """What the job costs here. JobError for a job that cannot be run, or none of whose clients trains."""
    cohort = next((step.done for step in steps if step.done), ())
    if not cohort:
        raise JobError("--calibrate: no client trains in this job, there is nothing to measure")
    device = choose_device(job.spec.device.kind, Placement(), [torch.cuda.device_count()])
    parts = job.explain(assemble, job, device, trains=True, serves=True)
    state = parts.strategy.init(parts.world)
    order = Order.of(cohort, lambda client: parts.strategy.send(state, client))
    family = parts.world.family
    longest = max(cohort, key=lambda each: (each.steps, parts.trainer.of(each.client).layout.size))
    step_s, uploads, kept = time_steps(parts, longest, order)
    if parts.batched:
        step_s = time_program(parts, cohort, order)
    how = parts.strategy.uploads
    mixed_bytes = 4 * sum(uploads[name].numel() for name in uploads if how[name] == "neighbours")
    averaged = sum(uploads[name].numel() for name in uploads if how[name] not in ("each", "bytes"))
    size = 4 * max(len(parts.world.initial), parts.trainer.of(longest.client).layout.size)
    cuda = device.type == "cuda"
    # on a GPU the samples and the models lie there; what the process itself holds was measured with all of them
    peak, sums = peak_bytes(), 8 * averaged
    return Costs(
        model_bytes=size,
        sent_bytes=order.bytes,
        job_bytes=Order.of([longest], lambda client: parts.strategy.send(state, client)).bytes,
        summed_bytes=averaged * (8 if job.spec.reproducible else 4),
        each_bytes=4 * sum(uploads[name].numel() for name in uploads if how[name] == "each"),
        upload_bytes=4 * sum(value.numel() for value in uploads.values()),
        state_bytes=sum(value.numel() * value.element_size() for value in kept.values()),
        mixed_bytes=mixed_bytes,
        neighbours=count_neighbours(parts, cohort) if mixed_bytes else 0.0,
        client_memory=peak + sums - (0 if cuda else samples_bytes(parts.test)),
        server_memory=peak + sums + COPIES * size - (0 if cuda else samples_bytes(parts.trainer.samples)),
        device_memory=CONTEXT_BYTES + torch.cuda.max_memory_reserved() if cuda else 0.0,
        step_s=step_s,
        evaluate_s=sum(
            time_evaluation(parts, version, w, job.spec.server.test_batch_size)
            for version, w in zip(parts.trainer.versions, family.initials if family else [state["w"]])
        ),
        private=parts.strategy.private,
        program=parts.batched.size if parts.batched else 1,
        origin=f"measured on {os.uname().nodename} ({device}), {date.today().isoformat()}",
    )


def count_neighbours(parts: Parts, cohort: Sequence[Job]) -> float:
    """Of a client, among those of the cohort, on average."""
    reaches = parts.strategy.mixing(parts.world, sorted(job.client for job in cohort)) != 0
    return (int(reaches.sum()) - int(reaches.diagonal().sum())) / len(cohort)


def time_steps(parts: Parts, job: Job, order: Order) -> tuple[float, dict[str, Tensor], dict[str, Tensor]]:
    """Seconds per local step of one client, what it uploads, and what it keeps at home."""
    trainer, world, sent = parts.trainer.of(job.client), parts.world, order.sent(job)
    few = STEPS * world.batch_size
    epochs = max(1, min(job.epochs, STEPS // -(-min(job.examples, few) // world.batch_size)))
    seconds = math.inf
    for _ in range(REPEATS):
        client = trainer.client(replace(job, epochs=epochs), trainer.homes.begin(job.client))
        client = replace(client, index=client.index[:few])
        trainer.seed(client)
        trainer.module.train()
        fit = Fit(trainer, client, sent)
        uploads, taken = timed(trainer.device, lambda fit=fit, client=client: parts.strategy.local(fit, sent, client))
        seconds = min(seconds, taken / max(fit.steps, 1))
    return seconds, uploads, client.state


def time_program(parts: Parts, cohort: Sequence[Job], order: Order) -> float:
    """Seconds per local step and client of a program of many."""
    jobs = [replace(job, epochs=1) for job in programs(cohort, parts.batched.size)[0]]
    sents, seconds = [order.sent(job) for job in jobs], math.inf
    for _ in range(REPEATS):
        trained, taken = timed(parts.trainer.device, lambda: parts.batched.train(jobs, sents))
        seconds = min(seconds, taken / max(1, sum(trained.steps)))
    return seconds


def time_evaluation(parts: Parts, version: Trainer, w: Tensor, batch_size: int) -> float:
    """Seconds for the whole test set, from a part of it, with the model of an architecture."""
    some = torch.arange(min(len(parts.test), BATCHES * batch_size), device=parts.trainer.device)
    runs = [timed(version.device, lambda: version.evaluate(w, parts.test, batch_size, some))[1] for _ in range(REPEATS)]
    return min(runs) * len(parts.test) / len(some)


def timed(device: torch.device, action: Callable[[], Any]) -> tuple[Any, float]:
    """What the action gives, and its seconds on the device."""
    begin = perf_counter()
    found = action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return found, perf_counter() - begin


def samples_bytes(samples: Samples) -> int:
    """Of a dataset, as it lies in memory."""
    return samples.x.nbytes + samples.y.nbytes


def peak_bytes() -> float:
    """The most memory that this process had so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
