"""Contenders on the same rounds: each round is made by one after the other, so that a busy machine slows all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from threading import Event, Thread
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hpcfl.bench.floors import Loop, Stack, Task, mean_loss, module_of
from hpcfl.bench.workloads import APART, LOOP, REDUCED, STACKED, WARM_UP, WORKLOADS
from hpcfl.build import Parts
from hpcfl.core import Step
from hpcfl.jobfile import JobFile
from hpcfl.plan import plan
from hpcfl.rank import build_pool

__all__ = ["Ours", "cores", "race", "rounds_of", "time_rounds"]

AGREE = {"warm-up": 1e-4, "end": 5e-2}
"""Largest relative difference of two losses that rounding explains. Training enlarges it from round to round: on W1 the
model moved by 1e-8 at the start has, after six rounds, a loss that differs by 1e-4."""


MEASURED = 10
"""Most rounds during which the driver is asked how busy the GPU is."""
SAMPLE_S = 0.1
"""Between two answers: the driver's own are over as much as a sixth of a second."""


class Ours:
    """The job through hpcfl; every rank takes part."""

    def __init__(self, name: str, job: JobFile, parts: Parts, transport: Any):
        self.name, self.threads, self.here = name, job.spec.threads, True
        self.parts, self.transport = parts, transport
        self.pool = build_pool(job.spec, parts, transport)
        self._state = parts.strategy.init(parts.world)

    def round(self, step: Step) -> None:
        """The jobs of the step, and their combination."""
        if self.transport.rank:
            self.pool.serve_step()
            return
        self.pool.submit(step.done, lambda client: self.parts.strategy.send(self._state, client))
        self._state = self.parts.strategy.combine(self._state, self.pool.collect(step))

    def model(self) -> Tensor:
        """The global model, on rank 0."""
        return self._state["w"]


class Floor:
    """A floor on the ranks that it runs on; elsewhere it waits."""

    def __init__(self, name: str, ranks: Sequence[int], rank: int, threads: int, loop: Loop | Stack | None):
        self.name, self.ranks, self.threads = name, ranks, threads
        self.here, self._loop = rank in ranks, loop

    def round(self, step: Step) -> None:
        if self.here:
            self._loop.round(step.done)

    def model(self) -> Tensor | None:
        return self._loop.model() if self.here else None


def rounds_of(parts: Parts, count: int) -> list[Step]:
    """`count` steps of the job's schedule that combine jobs; it begins anew where the job has fewer."""
    steps = [step for step in plan(parts.schedule, parts.world) if step.done]
    return [steps[number % len(steps)] for number in range(count)]


def time_rounds(transport: Any, contenders: Sequence[Any], steps: Sequence[Step]) -> list[list[float]]:
    """Seconds of each contender's rounds, of its slowest rank; on rank 0. They take turns at being first."""
    seconds: list[list[float]] = [[] for _ in contenders]
    for number, step in enumerate(steps):
        for turn in range(len(contenders)):
            place = (number + turn) % len(contenders)
            contender = contenders[place]
            with threads(contender.threads):
                transport.barrier()
                begin = perf_counter()
                contender.round(step)
                if torch.cuda.is_initialized():
                    torch.cuda.synchronize()
                took = perf_counter() - begin if contender.here else 0.0
            everyone = transport.gather(torch.tensor([took], dtype=torch.float64))
            seconds[place].append(max((each.item() for each in everyone), default=0.0))
    return seconds


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    yield
    if count != before:
        torch.set_num_threads(before)


def race(name: str, job: JobFile, parts: Parts, transport: Any, repeats: int | None) -> dict[str, Any]:
    """A workload's figures, on rank 0: medians in seconds, ratios, final losses, memory."""
    workload = WORKLOADS[name]
    steps = rounds_of(parts, WARM_UP + (repeats or workload.rounds or job.spec.rounds - WARM_UP))
    ours = Ours("hpcfl", job, parts, transport)
    first = time_rounds(transport, [ours], steps[:WARM_UP])[0]
    memory = transport.gather(torch.tensor([peak_bytes()], dtype=torch.int64))  # before the floors take theirs
    floors = build_floors(parts, transport, job.spec.threads, workload.stacked)
    time_rounds(transport, floors, steps[:WARM_UP])
    early = losses_of(parts, transport, [ours, *floors])
    ours_s, *floors_s = time_rounds(transport, [ours, *floors], steps[WARM_UP:])
    losses = losses_of(parts, transport, [ours, *floors])
    device = parts.trainer.device if transport.size == 1 else None
    busy = [busy_share(device, each, steps[:MEASURED]) for each in (ours, *floors)]
    if transport.rank:
        return {}
    count = job.spec.rounds
    limits = workload.alone if transport.size < 3 else workload.ranks
    hpcfl_s = median(ours_s)
    rows = [
        {"floor": floor.name, "floor_s": median(taken), "ratio": hpcfl_s / median(taken), "limit": limit,
         "loss": loss, "busy": share}
        for floor, taken, loss, share in zip(floors, floors_s, losses[1:], busy[1:])
        for limit in [next((ratio for part, ratio in limits.items() if part in floor.name), None)]
    ]  # fmt: skip
    one = [row["floor_s"] for row in rows if row["floor"].startswith(LOOP + ",")]
    apart = {"warm-up": spread(early), "end": spread(losses)}
    return {
        "workload": name, "title": workload.title, "rounds": len(ours_s), "hpcfl_s": hpcfl_s, "floors": rows,
        "data": job.spec.data.name, "execution": str(parts.execution), "busy": busy[0],
        "whole": {"rounds": count, "hpcfl_s": count * hpcfl_s, "loop_s": count * min(one)},
        "first_round_s": first[0], "loss": losses[0], "losses_apart": apart,
        "agree": all(apart[when] <= AGREE[when] for when in AGREE),
        "to_best_loop": hpcfl_s / min(one), "peers": workload.peers,
        "memory_bytes": sum(int(each) for each in memory), "memory_limit_bytes": workload.memory_bytes,
    }  # fmt: skip


def busy_share(device: torch.device | None, contender: Any, steps: Sequence[Step]) -> float | None:
    """Share of the time in which the GPU computed during some more rounds, as its driver says; None elsewhere."""
    if device is None or device.type != "cuda":
        return None

    def run() -> None:
        for step in steps:
            contender.round(step)
        torch.cuda.synchronize()

    try:
        return mean_during(run, lambda: torch.cuda.utilization(device) / 100)
    except (ImportError, RuntimeError):  # no nvidia-ml-py, or a driver that does not say
        return None


def mean_during(run: Callable[[], None], sample: Callable[[], float]) -> float:
    """Mean of the samples taken while `run` runs, and once at its end."""
    samples, over = [sample()], Event()  # the first one shows whether it can be, and does not count

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            samples.append(sample())

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    samples.append(sample())
    return mean(samples[1:])


def build_floors(parts: Parts, transport: Any, threads: int, stacked: bool) -> list[Floor]:
    """The floors of this launch: in one process, rank 1's where there are several, and in all client ranks'."""
    rank, workers = transport.rank, max(1, transport.size - 1)
    everyone = range(1, transport.size)
    group = dist.new_group(list(everyone), backend="gloo") if workers > 1 else None
    task = Task(parts) if rank or workers == 1 else None
    one, many = [min(1, transport.size - 1)], min(cores(), workers * threads)
    floors = []

    def add(name: str, ranks: Sequence[int], kind: Any, threads: int, **more: Any) -> None:
        loop = kind(name, task, threads=threads, **more) if rank in ranks else None
        floors.append(Floor(name, ranks, rank, threads, loop))

    add(f"{LOOP}, {_threads(threads)}", one, Loop, threads)
    if workers > 1:
        if many > threads:
            add(f"{LOOP}, {_threads(many)}", one, Loop, many)
        add(f"{workers} {REDUCED}", everyone, Loop, threads, workers=workers, worker=rank - 1, group=group)
        add(f"{workers} {APART}", everyone, Loop, threads, workers=workers, worker=rank - 1)
    if stacked:
        add(f"{STACKED}, {_threads(many)}", one, Stack, many)
    return floors


def spread(losses: Sequence[float | None]) -> float:
    """The largest relative difference of a floor's loss from the first one, ours."""
    return max((abs(loss / losses[0] - 1) for loss in losses[1:] if loss is not None), default=0.0) if losses else 0.0


def losses_of(parts: Parts, transport: Any, contenders: Sequence[Any]) -> list[float | None]:
    """Each contender's loss on the test set as it stands, on rank 0; None where it makes no model."""
    losses = []
    for contender in contenders:
        mine = contender.model() if contender.here else None
        if isinstance(contender, Ours) and transport.rank:
            mine = None
        loss = float("nan") if mine is None else mean_loss(module_of(parts, mine), parts)
        known = [each.item() for each in transport.gather(torch.tensor([loss], dtype=torch.float64))]
        losses.append(next((each for each in known if each == each), None))
    return losses


def peak_bytes() -> int:
    """The most memory that this process has had at once; what it shares with others counts in each."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
