"""Runs to be damaged: a result file with everything in it, and real runs that were interrupted after a checkpoint."""

from pathlib import Path

import h5py
import numpy as np
import torch
from small_run import CLIENTS, ENVIRONMENT, LAYOUT, OWNER, VECTOR, event, round_row
from torch import nn

from hpcfl.family import Family
from hpcfl.flat import Layout
from hpcfl.results import Writer, writer
from hpcfl.results.continued import LOSSES, RESTARTS, note, now
from hpcfl.results.sections import write_environment
from hpcfl.schema import JobSpec
from hpcfl.strategies import MaxCommon

JOB = JobSpec.parse({"data": "digits", "rounds": 12, "partition": {"clients": 2}}, "job.toml").resolved()
RICH = JobSpec.parse(
    {
        "data": "digits", "rounds": 12, "partition": {"name": "dirichlet", "beta": 0.5, "clients": 2},
        "strategy": {"name": "fedprox", "mu": 0.1}, "privacy": {"clip": 1.0, "noise": 0.5},
        "faults": {"byzantine": 0.5, "attack": {"name": "sign_flip", "scale": 2.0}},
        "client": {"device": {"speed": {"name": "lognormal", "sigma": 0.5}}, "lr_schedule": "cosine"},
    },
    "job.toml",
).resolved()  # fmt: skip
"""A job with more to be told of it."""
LAYOUTS = [Layout.of(module) for module in (nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)))]
FAMILY = Family.plan(("cnn", "résnet"), LAYOUTS, [torch.zeros(layout.size) for layout in LAYOUTS], (0, 1),
                     MaxCommon().groups)  # fmt: skip
SMALL = """
rounds = {rounds}
data = {{name = "synthetic", samples = 60, test_samples = 10, shape = [6], classes = 3}}
partition.clients = 4
model = {{name = "mlp", hidden = [3]}}
client = {{batch_size = 8, test_size = 0.2}}
checkpoint = {{every = 1, keep = 2}}
device.kind = "cpu"
"""
PRIVATE = SMALL + 'strategy = "ditto"\n'
AHEAD = SMALL + 'strategy = "fedasync"\nschedule = {{name = "buffered", in_flight = 2}}\n'
JOBS = {"private": PRIVATE, "ahead": AHEAD}


def write_small(path: Path, monkeypatch) -> None:
    """Several chunks of every table, models, own evaluations, failures, restarts, a lost rank."""
    monkeypatch.setattr(writer, "CHUNKS", {"rounds": 8, "events": 16, "failures": 4})
    with Writer(path) as run:
        run.start("seed = 3", JOB, ENVIRONMENT, CLIENTS, ["cat", "dog", "øl"], OWNER, family=FAMILY)
        for step in range(1, 13):
            run.clients(step, np.array([1.0, 2.0]) / step, np.array([0.5, 0.25]))
            run.metrics([{"step": step, "method": "fit", "client": 1, "name": "loss", "value": 1 / step, "text": "é"}])
            run.step(round_row(step), [event(step, 0), event(step, 1, "failed", reason=f"no {step}")])
            if step % 6 == 0:
                run.model(step, VECTOR + step, LAYOUT)
        run.finish()
    with h5py.File(path, "r+") as file:  # as if a rank had been lost, and the run resumed twice
        note(file, LOSSES, {"rank": 1, "step": 3, "reason": "rank 1 was lost"})
        for step in (4, 9):
            group = file["environment"].require_group(f"{RESTARTS}/{step // 9}")
            write_environment(group, {**ENVIRONMENT, "exact": True, "step": step, "time": now()})


def make_run(forge, folder: Path, kind: str) -> None:
    """run.h5 and its checkpoints after rounds 1 and 2 of a job.toml that now asks for 3."""
    job = folder / "job.toml"
    job.write_text(JOBS[kind].format(rounds=2))
    forge.runs("results, made", folder, "command", "run", str(job), "--out", "run.h5")
    job.write_text(JOBS[kind].format(rounds=3))
