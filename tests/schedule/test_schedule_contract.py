"""What every schedule owes, whatever its knobs and the clients' devices."""

from collections import Counter

import numpy as np
import pytest
from scenario import run, world

from hpcfl.clock import VirtualClock
from hpcfl.plan import plan
from hpcfl.schedule import SCHEDULES, Buffered, Synchronous, Tiered
from hpcfl.schedule.grouping import Delay, Latency

KNOBS = {
    "synchronous": Synchronous(),
    "share": Synchronous(c_ratio=0.3),
    "turns": Synchronous(0.3, "round_robin"),
    "deadline": Synchronous(deadline=2.0),
    "over-selection": Synchronous(c_ratio=0.8, first=3),
    "buffered": Buffered(),
    "buffer of 3": Buffered(num_generator=3, c_ratio=0.5),
    "full": Buffered(num_generator=2, choose="full"),
    "round robin": Buffered(num_generator=2, c_ratio=0.4, choose="round_robin"),
    "pulling": Buffered(c_ratio=0.6, choose="no", acquire_model_delay=0.25),
    "pulling at once": Buffered(num_generator=2, choose="no"),
    "seldom": Buffered(num_generator=2, c_ratio=0.3, schedule_interval=3),
    "when idle": Buffered(schedule_delay=0),
    "in flight": Buffered(num_generator=2, in_flight=4),
    "in flight, one by one": Buffered(in_flight=10),
    "current": Buffered(checker="current"),
    "pulling, current": Buffered(num_generator=2, choose="no", checker="current"),
    "tiered": Tiered(),
    "by latency": Tiered(c_ratio=0.5, group=Latency(3)),
    "turns by latency": Tiered(0.5, "round_robin", Latency(3)),
    "by delay": Tiered(group=Delay(1.0)),
}
SPEEDS = np.random.default_rng(5).uniform(0.5, 3.0, 10)
DEVICES = {
    "plain": {},
    "alike": {"speeds": np.ones(10)},
    "instant": {"speeds": np.zeros(10)},
    "delayed": {"delay_s": np.arange(10) / 3},
    "dropping": {"dropout": 0.3},
    "windows": {"period_s": 4.0, "share": 0.4},
}


def there(devices, rounds=25, seed=3):
    settings = dict(DEVICES[devices])
    return world(settings.pop("speeds", SPEEDS), rounds, seed, **settings)


def test_every_schedule_is_here():
    assert {type(schedule) for schedule in KNOBS.values()} == set(SCHEDULES.values())


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("knobs", KNOBS)
def test_the_contract(knobs, devices):
    steps = run(KNOBS[knobs], there(devices))
    assert [step.index for step in steps if step.done] == list(range(1, 26))
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert steps[-1].index == 25
    assert (steps[0].index, steps[0].time, steps[0].done) == (0, 0.0, ())
    started = {}
    for step in steps:
        for job in (*step.done, *(job for job, _ in step.lost)):
            assert started.pop(job.key) == job  # by an earlier step, and it ends once
            assert step.staleness(job) >= 0
            assert not (job.dropped and job in step.done)
        for job in step.done:
            assert job.finish <= step.time
        assert {status for _, status in step.lost} <= {"straggler", "dropped"}
        assert all(job.dropped == (status == "dropped") for job, status in step.lost if KNOBS[knobs].overlapping)
        for job in step.start:
            assert (job.version, job.start) == (step.index, step.time)
            assert job.key not in started
            started[job.key] = job
    keys = Counter(job.key for step in steps for job in step.start)
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("knobs", KNOBS)
def test_a_client_runs_one_job_at_a_time(knobs, devices):
    ends = {}
    steps = run(KNOBS[knobs], there(devices))
    stopped = {job.key: step.time for step in steps for job, status in step.lost if status == "straggler"}
    for step in steps:
        for job in step.start:
            assert ends.get(job.client, 0.0) <= job.start
            ends[job.client] = min(job.finish, stopped.get(job.key, job.finish))


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("knobs", KNOBS)
def test_plans_are_repeated_exactly_and_start_what_is_combined(knobs, devices):
    schedule, place = KNOBS[knobs], there(devices)
    steps = plan(schedule, place)
    assert steps == plan(schedule, there(devices))
    key = {job.key for step in steps for job in step.start}
    assert key == {job.key for step in steps for job in step.done}
    assert all(step.done or step.start for step in steps)
    if not schedule.overlapping:
        combined = [step for step in steps if step.done]
        for before, after in zip([steps[0], *combined], combined):
            assert {job.version for job in after.done} == {before.index}


@pytest.mark.parametrize("knobs", KNOBS)
def test_more_rounds_begin_like_fewer(knobs):
    short, long = (run(KNOBS[knobs], there("plain", rounds)) for rounds in (6, 12))
    assert [step.done for step in short] == [step.done for step in long[: len(short)]]


@pytest.mark.parametrize("knobs", ["share", "buffer of 3", "in flight", "by latency"])
def test_the_seed_decides_who_trains(knobs):
    assert plan(KNOBS[knobs], there("plain", seed=1)) != plan(KNOBS[knobs], there("plain", seed=2))


class Late(VirtualClock):
    """A clock on which everything ends a little later than the plan says, as real ones do."""

    def next(self, until=np.inf):
        job = super().next(until)
        if job:
            self.now += 0.01
        return job


@pytest.mark.parametrize("knobs", KNOBS)
def test_decisions_follow_the_clock_not_the_plan(knobs):
    steps = list(KNOBS[knobs](there("plain"), Late()))
    assert [step.index for step in steps if step.done] == list(range(1, 26))
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert all(job.start == step.time for step in steps for job in step.start)
