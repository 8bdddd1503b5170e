"""`hpcfl plan --ranks`: the costs that are known, given or measured, and the estimate that follows from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpcfl.core import Step, World
from hpcfl.data import find_cache, find_root, load
from hpcfl.federation import foresee
from hpcfl.jobfile import JobFile
from hpcfl.memory import importing
from hpcfl.plan import overlaps, plan
from hpcfl.preflight.costs import Costs, assumed, known, remember, timed
from hpcfl.preflight.estimate import Estimate, estimate

__all__ = ["Asked", "foretold", "judge"]


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    ranks: int | None = None
    model_bytes: float = 0.0
    step_s: float | None = None
    calibrate: bool = False

    @property
    def estimates(self) -> bool:
        """Whether more than the plan is wanted: that alone needs no data and no model."""
        return self.calibrate or self.ranks is not None or self.step_s is not None


def foretold(file: JobFile, asked: Asked) -> tuple[Any, World, list[Step], Costs | None]:
    """(schedule, world, steps, costs); the costs are None where no estimate is wanted.

    Where the size of the model is known, transfers take the time that it needs.
    """
    schedule, world = file.explain(foresee, file, asked.model_bytes)
    steps = plan(schedule, world)
    if not asked.estimates:
        return schedule, world, steps, None
    costs = gather(file, steps, asked)
    device = file.spec.client.device
    if costs.model_bytes != asked.model_bytes and (device.download_bandwidth or device.upload_bandwidth):
        schedule, world = file.explain(foresee, file, costs.model_bytes)
        steps = plan(schedule, world)
    return schedule, world, steps, costs


def gather(file: JobFile, steps: Sequence[Step], asked: Asked) -> Costs:
    """Measured now, else what an earlier calibration left, else by rule."""
    spec = file.spec
    if asked.calibrate:
        with importing():
            from hpcfl.preflight.measure import calibrate  # imports PyTorch

        costs = calibrate(file, steps)
        remember(spec, costs)
    elif asked.model_bytes or (costs := known(spec)) is None:
        data = load(
            spec.data.name, root=find_root(spec.data.root, os.environ), params=spec.data.params,
            cache=find_cache(spec.data.cache, os.environ),
        )  # fmt: skip
        train, test = data.x_train.nbytes + data.y_train.nbytes, data.x_test.nbytes + data.y_test.nbytes
        costs = assumed(spec, asked.model_bytes, train, test)
    return costs if asked.step_s is None else timed(costs, asked.step_s)


def judge(file: JobFile, schedule: Any, world: World, steps: Sequence[Step], costs: Costs, ranks: int) -> Estimate:
    """The estimate for so many ranks."""
    jobs_alone = overlaps(schedule) or file.spec.clock == "wall"
    return estimate(file.spec, world, steps, costs, ranks, overlapping=jobs_alone)
