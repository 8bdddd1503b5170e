"""How fast is hpcfl? Ratios against named floors, interleaved in one run, medians: machines are noisy.

training    a round of FedAvg through hpcfl, against a bare PyTorch loop over the same clients in the same processes
sums        an exact (reproducible) sum of one model, against a float32 one
broadcast   of one model between all ranks, against a memory copy of the same bytes
reduce      of one exact sum, likewise
and with several ranks the two of `asyncbench`
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from hpcfl import asyncbench
from hpcfl.build import Parts, assemble, build_model
from hpcfl.collective import Collective
from hpcfl.core import Job, World, shares
from hpcfl.data import load
from hpcfl.jobfile import JobFile, packaged
from hpcfl.launch import Placement
from hpcfl.plan import plan
from hpcfl.runner import agree, agree_device, connect
from hpcfl.sums import ExactSum, FloatSum
from hpcfl.training import Samples, Trainer
from hpcfl.transport.rendezvous import Rendezvous

__all__ = ["measure"]

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Figure:
    """One measurement: medians in seconds."""

    name: str
    floor: str
    """What it is compared with."""
    floor_s: float
    hpcfl_s: float

    @property
    def ratio(self) -> float:
        return self.hpcfl_s / self.floor_s


def measure(placement: Placement, rendezvous: Rendezvous, repeats: int, as_json: bool) -> None:
    """Measure on all ranks of this launch; rank 0 prints."""
    job = packaged("bench")
    device = agree_device(placement, rendezvous, job.spec.device.kind)
    trains = placement.size == 1 or placement.rank > 0
    small = packaged("quickstart")
    parts, light = (
        agree(placement, rendezvous, lambda job=job: assemble(job, device, trains=trains, serves=False))
        for job in (job, small)
    )
    with connect(placement, rendezvous, device, TIMEOUT_S) as transport:
        figures = [training(transport, parts, job, repeats), sums(parts.world.initial.to(device), repeats)]
        if placement.size > 1:
            figures += communication(transport, parts.world.initial.to(device), repeats)
            figures += asynchronous(transport, parts, light, repeats)
    if placement.rank == 0:
        report(figures, placement, device, transport.backend, as_json)


def training(transport: Any, parts: Parts, job: JobFile, repeats: int) -> Figure:
    """A round through hpcfl against the slowest rank's bare loop over its share of the same round."""
    world = parts.world
    steps = plan(parts.schedule, world)
    jobs = steps[0].start
    share = shares(jobs, max(1, transport.size - 1))[max(0, transport.rank - 1)]
    trains = transport.size == 1 or transport.rank > 0
    bare = BareLoop(job, parts.trainer) if trains else None
    pool = Collective(transport, parts.trainer, world, job.spec.reproducible)
    state = parts.strategy.init(world)
    floors, ours = [], []
    for _ in range(repeats + 1):
        transport.barrier()
        begin = perf_counter()
        if bare:
            bare.round(world, share)
        own = torch.tensor([perf_counter() - begin if bare else 0.0])
        floors.append(max([seconds.item() for seconds in transport.gather(own)], default=0.0))
        transport.barrier()
        begin = perf_counter()
        if transport.rank == 0:
            pool.submit(jobs, lambda client: parts.strategy.send(state, client))
            parts.strategy.combine(state, pool.collect(steps[1]))
        else:
            pool.serve_step()
        ours.append(perf_counter() - begin)
    return Figure(f"round of {len(jobs)} clients", "bare PyTorch loop", median(floors[1:]), median(ours[1:]))


def asynchronous(transport: Any, parts: Parts, light: Parts, repeats: int) -> list[Figure]:
    """How busy the client ranks are kept (with a `light` model), and the server's cost per update."""
    figures = []
    for name, floor, measured, model in (
        (
            f"{asyncbench.IN_FLIGHT} async clients, {1e3 * asyncbench.JOB_S:.0f} ms",
            "no idle rank",
            asyncbench.busy,
            light,
        ),
        ("async server, one update", "bare loop", asyncbench.server, parts),
    ):
        runs = [measured(transport, model) for _ in range(2 + repeats // 3)][1:]
        figures.append(Figure(name, floor, median(run[0] for run in runs), median(run[1] for run in runs)))
    return figures


class BareLoop:
    """FedAvg as one would write it down: load, train, add up. Batches in a fixed order, no shuffling."""

    def __init__(self, job: JobFile, trainer: Trainer):
        data = load(job.spec.data.name, params=job.spec.data.params)
        self._module, self._trainer = build_model(job.spec, data).to(trainer.device).train(), trainer
        self._samples = Samples(data.x_train, data.y_train, data.mean, data.std, trainer.device)
        self._state = {name: value.clone() for name, value in self._module.state_dict().items()}

    def round(self, world: World, jobs: list[Job]) -> dict[str, Tensor]:
        """The mean of the jobs' models."""
        mean = {name: torch.zeros_like(value) for name, value in self._state.items()}
        total = sum(job.examples for job in jobs)
        for job in jobs:
            client = self._trainer.client(job, {})
            self._module.load_state_dict(self._state)
            optimizer = torch.optim.SGD(self._module.parameters(), lr=client.lr)
            for index in client.index.split(world.batch_size):
                x, labels = self._samples.batch(index)
                optimizer.zero_grad()
                cross_entropy(self._module(x), labels).backward()
                optimizer.step()
            for name, value in self._module.state_dict().items():
                mean[name].add_(value, alpha=job.examples / total)
        return mean


def sums(vector: Tensor, repeats: int) -> Figure:
    """Adding one model to an exact sum, against adding it in float32."""
    exact, plain = (kind(tuple(vector.shape), vector.device) for kind in (ExactSum, FloatSum))
    floor, ours = interleaved(repeats, lambda: plain.add(vector, 0.5), lambda: exact.add(vector, 0.5))
    return Figure("exact sum of one model", "float32 sum", floor, ours)


def communication(transport: Any, vector: Tensor, repeats: int) -> list[Figure]:
    """The two collectives of a round, against copying the same bytes in memory."""
    total = torch.zeros(vector.shape, dtype=torch.int64, device=vector.device)
    figures = []
    for name, verb, tensor in (("broadcast", transport.broadcast, vector), ("reduce", transport.reduce, total)):
        copy = torch.empty_like(tensor)
        floor, ours = interleaved(
            repeats, lambda copy=copy, tensor=tensor: copy.copy_(tensor), lambda verb=verb, tensor=tensor: verb(tensor),
            before=transport.barrier,
        )  # fmt: skip
        megabytes = tensor.numel() * tensor.element_size() / 1e6
        figures.append(Figure(f"{name} of {megabytes:.0f} MB", "memory copy", floor, ours))
    return figures


def interleaved(
    repeats: int, floor: Callable[[], Any], ours: Callable[[], Any], before: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Medians of both, run in turn; the first turn warms up and does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for run, kept in zip((floor, ours), seconds):
            before()
            begin = perf_counter()
            run()
            kept.append(perf_counter() - begin)
    return median(seconds[0][1:]), median(seconds[1][1:])


def report(figures: list[Figure], placement: Placement, device: Any, backend: str, as_json: bool) -> None:
    """The figures as a table, or as JSON."""
    if as_json:
        rows = [{**vars(figure), "ratio": figure.ratio} for figure in figures]
        print(json.dumps({"ranks": placement.size, "device": str(device), "cores": os.cpu_count(), "figures": rows}))
        return
    table = Table("measured", "hpcfl, ms", "floor, ms", "ratio", "floor", title_justify="left", box=None)
    for figure in figures:
        table.add_row(
            figure.name,
            f"{1e3 * figure.hpcfl_s:.2f}",
            f"{1e3 * figure.floor_s:.2f}",
            f"{figure.ratio:.3f}",
            figure.floor,
        )
    console = Console(highlight=False)
    console.print(f"{placement.size} ranks, {device}, {backend}, {torch.get_num_threads()} thread per rank")
    console.print(table)
