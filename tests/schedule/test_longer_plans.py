"""A longer run begins with the steps of a shorter one, and no job that it needs is unknown to that."""

from dataclasses import replace

import numpy as np
import pytest

from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.plan import foretell
from hpcfl.schedule import Buffered, Synchronous, Tiered
from hpcfl.schedule.grouping import GROUPINGS

SCHEDULES = {
    "synchronous": Synchronous(c_ratio=0.5),
    "first": Synchronous(c_ratio=0.8, first=3),
    "fedasync": Buffered(in_flight=4),
    "buffered": Buffered(num_generator=3, in_flight=6),
    "pulled": Buffered(num_generator=2, choose="no", acquire_model_delay=1.5),
    "tiered": Tiered(group=GROUPINGS["latency"](tiers=3)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_same_steps_come_first(name):
    speeds = np.random.default_rng(0).uniform(0.5, 3, 9)
    devices = replace(Devices.alike(9), step_s=speeds, dropout=0.1)
    world = World(0, 10, np.full((9, 2), 5), 4, (1, 2), devices)
    short, long = (list(foretell(SCHEDULES[name], replace(world, rounds=rounds))) for rounds in (10, 25))
    for one, other in zip(short[:-1], long):
        assert (one.index, one.time, one.done, one.lost) == (other.index, other.time, other.done, other.lost)
    flight = {job.key for step in short for job in (*step.start, *step.unused)}
    flight -= {job.key for step in short for job in step.done}
    left = long[len(short) - 1 :]
    started = {job.key for step in left for job in step.start}
    assert {job.key for step in left[1:] for job in step.done} - started <= flight


def test_a_schedule_may_begin_later():
    world = World(0, 6, np.full((4, 2), 5), 4, (1, 1), Devices.alike(4), first=4)
    for schedule in (Synchronous(), Buffered(num_generator=2), Tiered()):
        steps = list(foretell(schedule, world))
        assert [step.index for step in steps if step.done] == [5, 6]
        assert (steps[0].index, {job.version for job in steps[0].start}) == (4, {4})
