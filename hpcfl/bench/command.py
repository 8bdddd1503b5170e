"""`hpcfl bench`: the ranks meet once and measure what was asked for, one thing after the other; rank 0 prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hpcfl.bench.breakdown import break_down
from hpcfl.bench.calibration import EXECUTION, assembled, compare, recommendation, settings
from hpcfl.bench.checkpointing import checkpoints
from hpcfl.bench.flower import flower, require_flower
from hpcfl.bench.race import Ours, cores, race, rounds_of
from hpcfl.bench.startup import time_startup
from hpcfl.bench.table import show
from hpcfl.bench.traffic import asynchronous, traffic
from hpcfl.bench.workloads import WARM_UP, WORKLOADS, job_of
from hpcfl.build import Parts, assemble
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile, packaged, read
from hpcfl.launch import Placement
from hpcfl.runner import agree, agree_device, connect
from hpcfl.transport.rendezvous import Rendezvous

__all__ = ["measure"]

OTHERS = ("traffic", "async")
CHECKPOINT, FLOWER, STARTUP = "checkpoint", "flower", "startup"
TIMEOUT_S = 300.0
REPEATS = 7
"""Of sums, broadcasts and updates."""
STARTS = 3
"""Of each kind."""
PROFILED = 5
"""Rounds that --profile averages, unless --repeats says."""


def measure(
    placement: Placement,
    rendezvous: Rendezvous,
    wanted: Sequence[str],
    overrides: Sequence[str],
    repeats: int | None,
    as_json: bool,
    profile: bool,
) -> None:
    """Measure on all ranks of this launch; rank 0 prints. Workloads are run in the order of their table."""

    def understand() -> tuple[list[str], list[tuple[str, JobFile]]]:
        names, files = sort_out(wanted, placement.size)
        return names, [(file, read(file, overrides)) for file in files]

    names, files = agree(placement, rendezvous, understand, lambda found: " ".join(file.digest for _, file in found[1]))
    jobs = agree(placement, rendezvous, lambda: {name: job_of(name, overrides) for name in names if name in WORKLOADS})
    kind = next((job.spec.device.kind for job in [*jobs.values(), *(job for _, job in files)]), "cpu")
    device = agree_device(placement, rendezvous, kind)
    trains = placement.size == 1 or placement.rank > 0

    def build(job: JobFile) -> Parts:
        parts = agree(placement, rendezvous, lambda: assemble(job, device, trains=trains, serves=True))
        parts.execution.settle(rendezvous.exchange(parts.execution.graphs))
        return parts

    built = {name: build(job) for name, job in jobs.items()}
    chosen = {file: agree(placement, rendezvous, lambda job=job: settings(job)) for file, job in files}
    tried = {
        file: {
            name: agree(placement, rendezvous, lambda job=job: assembled(job, device, trains))
            for name, job in ways.items()
        }
        for file, ways in chosen.items()
    }
    for file, ways in tried.items():
        agree(placement, rendezvous, lambda file=file, ways=ways: refuse(file, ways))
    large = built.get("w1") or (build(packaged("w1")) if set(OTHERS) & set(names) else None)
    heavier = ("partition.clients=40", "data.samples=320")
    sizes = [build(packaged("quickstart")), build(packaged("w3", heavier))] if "async" in names else []
    found: dict[str, Any] = {"ranks": placement.size, "device": str(device), "cores": cores()}
    with connect(placement, rendezvous, device, TIMEOUT_S) as transport:
        found["backend"] = transport.backend
        found["workloads"] = [race(name, jobs[name], built[name], transport, repeats) for name in jobs]
        found["jobs"] = []
        for file, job in files:
            rows = compare(chosen[file], tried[file], transport, repeats)
            advice = recommendation(rows, getattr(job.spec, EXECUTION, "auto")) if rows else ""
            found["jobs"].append({"job": file, "executions": rows, "recommendation": advice})
        if profile:
            found["profiles"] = profiles(transport, [*((name, jobs[name], built[name]) for name in jobs), *(
                (f"{file}, {name}", chosen[file][name], parts)
                for file in tried for name, parts in tried[file].items() if not isinstance(parts, str)
            )], repeats)  # fmt: skip
        found["figures"] = []
        if "traffic" in names:
            found["figures"] += traffic(transport, large.world.initial, repeats or REPEATS)
        if CHECKPOINT in names and placement.rank == 0:
            found["figures"] += checkpoints(repeats or REPEATS)
        if FLOWER in names and placement.rank == 0:
            found["figures"] += flower(repeats or REPEATS)
        if "async" in names and placement.size > 1:
            light, heavy = sizes
            found["figures"] += asynchronous(transport, light, (large, heavy), repeats or REPEATS)
    if STARTUP in names:
        found[STARTUP] = time_startup(repeats or STARTS)
    if placement.rank == 0:
        print(json.dumps(found)) if as_json else show(found)


def sort_out(wanted: Sequence[str], ranks: int) -> tuple[list[str], list[str]]:
    """(names of workloads, job files); where nothing is wanted, all but the last three and what must be asked for."""
    known = (*WORKLOADS, *OTHERS, CHECKPOINT, FLOWER, STARTUP)
    files = [name for name in wanted if name not in known]
    for name in files:
        if not Path(name).is_file():
            raise JobError(f"bench {name}: is neither a job file nor a workload; valid: {', '.join(known)}")
    if FLOWER in wanted:
        require_flower()
    if "async" in wanted and ranks == 1:
        raise JobError("bench async: needs a server and client ranks: mpirun -np 3 hpcfl bench async")
    if STARTUP in wanted and ranks > 1:
        raise JobError("bench startup: starts ranks itself: run it alone, without mpirun or srun")
    usual = (*(name for name, workload in WORKLOADS.items() if not workload.asked), *OTHERS)
    return [name for name in known if name in (wanted or usual)], files


def refuse(file: str, ways: dict[str, Parts | str]) -> None:
    """JobError if the job runs under no setting: what the first one said."""
    if all(isinstance(parts, str) for parts in ways.values()):
        raise JobError(next(iter(ways.values())))


def profiles(transport: Any, jobs: Sequence[tuple[str, JobFile, Parts]], repeats: int | None) -> list[dict[str, Any]]:
    """Where a round's time goes, of each job; on rank 0."""
    found = []
    for name, job, parts in jobs:
        ours = Ours(name, job, parts, transport)
        steps = rounds_of(parts, WARM_UP + (repeats or PROFILED))
        torch.set_num_threads(job.spec.threads)
        for step in steps[:WARM_UP]:
            ours.round(step)
        found.append({"name": name, "ranks": break_down(ours, steps[WARM_UP:], job.spec.server.test_batch_size)})
    return found
