"""A whole job in this process, round by round: its parts, its pool, and what a strategy told."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpcfl import engine
from hpcfl.build import Parts, assemble
from hpcfl.flower.adapter import Adapter
from hpcfl.flower.evaluation import Evaluation
from hpcfl.jobfile import JobFile
from hpcfl.plan import foretell
from hpcfl.rank import build_pool
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

JOB = {
    "rounds": 2,
    "data": {"name": "digits", "cache": False},
    "partition": {"name": "dirichlet", "clients": 6, "beta": 0.5},
    "model": {"name": "mlp", "hidden": [8]},
    "client": {"lr": 0.1, "batch_size": 20},
}


class Made(NamedTuple):
    """What came of a job."""

    w: Tensor
    parts: Parts
    notes: list[dict[str, Any]]
    steps: list[tuple[Any, Any]]
    """(step, cohort) of each that was recorded."""
    state: dict[str, Tensor]

    def told(self, method: str, name: str = "loss") -> dict[int, float]:
        """step -> the value that a method of the server told."""
        rows = [row for row in self.notes if row["method"] == method and row["name"] == name and row["client"] < 0]
        return {row["step"]: row["value"] for row in rows}


def parts_of(**changes: Any) -> Parts:
    spec = JobSpec.parse({**JOB, **changes}, "job.toml")
    return assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=True)


def make_rounds(**changes: Any) -> Made:
    """The rounds of a job like JOB, with these keys instead."""
    parts = parts_of(**changes)
    spec = JobSpec.parse({**JOB, **changes}, "job.toml")
    pool, notes, steps = build_pool(spec, parts, Solo()), [], []
    examine = lambda *seen: None  # noqa: E731 - hpcfl's own evaluation is not of interest here
    if isinstance(parts.strategy, Adapter):
        examine = Evaluation(parts.strategy, parts.world, pool, notes.extend, examine)
    state = engine.run(
        parts.world, parts.strategy, foretell(parts.schedule, parts.world), pool,
        lambda step, updates, state, seconds: steps.append((step, updates)), 1, examine,
    )  # fmt: skip
    return Made(state["w"], parts, notes, steps, state)


def apart(one: Tensor, other: Tensor) -> float:
    """How far two models are from one another, relative to the second."""
    return float(np.linalg.norm((one - other).numpy()) / np.linalg.norm(other.numpy()))
