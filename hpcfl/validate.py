"""Check a job without running it: what `hpcfl run` would refuse, in one process and without a result file."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hpcfl.build import Parts, assemble
from hpcfl.faults import require_mortals
from hpcfl.flat import Layout
from hpcfl.jobfile import JobFile, read, tell
from hpcfl.survival import require_way_back
from hpcfl.tracking import require

__all__ = ["check", "validate_job"]


def validate_job(path: str, overrides: Sequence[str]) -> None:
    """Say that the job is valid and what it amounts to; a JobError or DataError says what is wrong."""
    job = read(path, overrides)
    tell(path, job.notes)
    parts = check(job)
    spec, world = job.spec, parts.world
    examples = world.counts.sum(axis=1)
    print(f"{path} is valid: {spec.strategy.name}, {spec.rounds} rounds, seed {spec.seed}")
    print(f"  data     {spec.data.name}: {len(parts.owner)} training and {len(parts.test)} test samples")
    print(f"  clients  {world.clients}, with {examples.min()} to {examples.max()} samples ({spec.partition.name})")
    if family := world.family:
        for number, (name, layout) in enumerate(zip(family.names, family.layouts)):
            print(f"  model    {name}, of {family.clients[number]} clients: {numbers(layout)}, "
                  f"{family.averaged(number):,} averaged")  # fmt: skip
        print(f"  sharing  {family.size:,} numbers travel, of {sum(layout.size for layout in family.layouts):,} in all")
        if family.note:
            print(f"  note     {family.note}")
    else:
        print(f"  model    {parts.name}: {numbers(world.layout)}")


def numbers(layout: Layout) -> str:
    """How many a model has."""
    return f"{layout.trainable:,} trainable of {layout.size:,} numbers"


def check(job: JobFile) -> Parts:
    """The job's parts; JobError or DataError for what `run` would refuse."""
    job.explain(require, job.spec.tracking)
    data = job.spec.data.model_copy(update={"stage": None})  # another machine's disk, perhaps
    job = replace(job, spec=job.spec.model_copy(update={"data": data}))
    parts = job.explain(assemble, job, torch.device("cpu"), trains=False, serves=True)
    job.explain(require_way_back, job.spec, parts.strategy)
    job.explain(require_mortals, job.spec)
    return parts
