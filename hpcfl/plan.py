"""The schedule on the virtual clock, before anybody trains: its steps, cut to the jobs that matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

from hpcfl.clock import VirtualClock
from hpcfl.core import Step, World

__all__ = ["foretell", "overlaps", "plan"]


def plan(schedule: Any, world: World) -> list[Step]:
    """Every step of the virtual run. A step starts only jobs that a later one combines: the rest need not be sent."""
    return [step for step in foretell(schedule, world) if step.done or step.start]


def overlaps(schedule: Any) -> bool:
    """Whether jobs may outlive the next step. A schedule that does not say is taken to let them."""
    return getattr(schedule, "overlapping", True)


def foretell(schedule: Any, world: World) -> Iterator[Step]:
    """The same, step by step; a schedule whose jobs all end with the next step is not run ahead further than that.

    With more rounds the same steps come first: those that start jobs which only a longer run combines are there too.
    One whose steps ask the strategy who trains cannot be run ahead at all; its jobs are those that a step combines.
    """
    steps = schedule(world, VirtualClock())
    if getattr(schedule, "asks", False):
        return steps
    if overlaps(schedule):
        known = list(steps)
        combined = {job.key for step in known for job in step.done}
        cut = (divided(step, combined) for step in known)
    else:
        nothing = Step(0, 0.0, (), ())
        cut = (replace(step, start=tuple(sorted(set(step.start) & set(after.done), key=lambda job: job.key)))
               for step, after in pairwise(chain(steps, [nothing])))  # fmt: skip
    return (step for step in cut if step.done or step.start or step.unused)


def divided(step: Step, combined: set[tuple[int, int, int]]) -> Step:
    """The step, with the jobs that matter apart from the others."""
    used = tuple(job for job in step.start if job.key in combined)
    return replace(
        step, start=used, unused=tuple(job for job in step.start if job.key not in combined and not job.dropped)
    )
