"""What a job's parts cost on a machine, as a calibration measured it, and where that is kept for the next plan."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from hpcfl.data import find_cache
from hpcfl.schema import JobSpec

__all__ = ["Costs", "assumed", "known", "remember", "timed"]

BASE_BYTES = 550e6
"""A rank before it has data or a model: Python, PyTorch and the other libraries (the CPU build of PyTorch 2.13)."""
COPIES = 8
"""Vectors of a model's size that a rank holds: the module's, its gradient, the optimizer's two, what it was sent, the
work space, and the sum in 64 bits, which counts twice."""


@dataclass(frozen=True)
class Costs:
    """Bytes, and seconds where they are known."""

    model_bytes: float
    sent_bytes: float
    """What the jobs of a first step receive, each tensor once."""
    job_bytes: float
    """What one job receives."""
    summed_bytes: float
    """What a rank gives to the sum of a step."""
    each_bytes: float
    """What a job uploads for itself, besides."""
    upload_bytes: float
    """What a job uploads where jobs come one by one."""
    state_bytes: float
    """What a client keeps at home."""
    client_memory: float
    server_memory: float
    device_memory: float = 0.0
    """Of the GPU, on a rank that trains."""
    step_s: float | None = None
    """One local step of one client."""
    evaluate_s: float = 0.0
    """The test set, once."""
    private: bool = False
    """Whether a client stays on one rank, with what it keeps."""
    mixed_bytes: float = 0.0
    """What a job gives to each of its neighbours, where these mix."""
    neighbours: float = 0.0
    """Of a client in the first step, on average."""
    program: int = 1
    """Most clients that are trained as one program."""
    origin: str = ""
    """Where and how the times were measured."""


def assumed(spec: JobSpec, model_bytes: float, train_bytes: float, test_bytes: float) -> Costs:
    """Costs by rule for a model of so many bytes that travels whole in both directions, as in FedAvg."""
    work = BASE_BYTES + COPIES * model_bytes
    summed = model_bytes * (2 if spec.reproducible else 1)
    return Costs(
        model_bytes, model_bytes, model_bytes, summed, 0.0, model_bytes, 0.0, work + train_bytes, work + test_bytes,
        origin="by rule: the model travels whole, activations are not counted",
    )  # fmt: skip


def known(spec: JobSpec) -> Costs | None:
    """What an earlier calibration of such a job left in the cache."""
    path = place(spec)
    with suppress(OSError, ValueError, TypeError):
        if path is not None:
            found = json.loads(path.read_text("utf-8"))
            return Costs(**{field.name: found[field.name] for field in fields(Costs) if field.name in found})
    return None


def remember(spec: JobSpec, costs: Costs) -> None:
    """Keep them in the cache, if there is one that can be written."""
    path = place(spec)
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(asdict(costs), indent=1), "utf-8")
        aside.replace(path)


def timed(costs: Costs, step_s: float) -> Costs:
    """The costs with a step time that the user gives."""
    return replace(costs, step_s=step_s, origin=f"{step_s:g} s per local step, as given; {costs.origin}")


def place(spec: JobSpec) -> Path | None:
    """The file for all jobs that cost the same: whatever else differs, seeds, rounds or schedules."""
    folder = find_cache(spec.data.cache, os.environ)
    if folder is None:
        return None
    job = spec.resolved()
    deciding = {key: job[key] for key in ("model", "strategy", "communication", "execution", "threads", "reproducible")}
    deciding |= {"data": {key: job["data"][key] for key in ("name", "params", "transform")}, "device": job["device"]}
    deciding |= {"client": {key: value for key, value in job["client"].items() if key != "device"}}
    deciding |= {"test": job["server"]["test_batch_size"], "partition": job["partition"]}
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    return folder / "calibrations" / f"{digest[:24]}.json"
