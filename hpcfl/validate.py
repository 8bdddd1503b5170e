"""Check a job without running it: what `hpcfl run` would refuse, in one process and without a result file."""

from collections.abc import Sequence

import torch

from hpcfl.build import Parts, assemble
from hpcfl.jobfile import JobFile, read, tell
from hpcfl.tracking import require

__all__ = ["check_job", "validate_job"]


def validate_job(path: str, overrides: Sequence[str]) -> None:
    """Say that the job is valid and what it amounts to; a JobError or DataError says what is wrong."""
    job = read(path, overrides)
    tell(path, job.notes)
    parts = check_job(job)
    spec, world = job.spec, parts.world
    examples = world.counts.sum(axis=1)
    print(f"{path} is valid: {spec.strategy.name}, {spec.rounds} rounds, seed {spec.seed}")
    print(f"  data     {spec.data.name}: {len(parts.owner)} training and {len(parts.test)} test samples")
    print(f"  clients  {world.clients}, with {examples.min()} to {examples.max()} samples ({spec.partition.name})")
    print(f"  model    {spec.model.name}: {world.layout.trainable:,} trainable of {world.layout.size:,} numbers")


def check_job(job: JobFile) -> Parts:
    """The parts of a job that can be run; a JobError or DataError says what is wrong with any other."""
    job.explain(require, job.spec.tracking)
    return job.explain(assemble, job, torch.device("cpu"), trains=False, serves=True)
