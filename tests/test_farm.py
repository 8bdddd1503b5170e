"""The Farm on one rank: the Collective's bits, updates in the order of arrival, failures, the real clock."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.farm import Farm
from hpcfl.schedule import Buffered, Synchronous
from hpcfl.strategies import FedAvg
from hpcfl.sums import LIMIT
from hpcfl.transport.group import Solo
from hpcfl.wallclock import WallClock

SIZES = (6, 4, 9, 5, 7)


def farm(parts, reproducible=True):
    return Farm(Solo(), parts.trainer, parts.world, reproducible, 60.0)


def submitted(pool, parts, jobs):
    pool.submit(jobs, lambda client: {"w": parts.world.initial})
    return pool


@pytest.mark.parametrize("reproducible", [True, False])
def test_a_synchronous_step_has_the_bits_of_the_collective(reproducible):
    parts = federation(sizes=SIZES)
    jobs = tuple(parts.jobs())
    updates = submitted(farm(parts, reproducible), parts, jobs).collect(Step(1, 0.0, jobs, ()))
    assert torch.equal(updates.mean("w"), parts.collect(reproducible=reproducible).mean("w"))
    assert [update.job for update in updates] == list(jobs)


def test_updates_come_in_the_order_of_the_step_and_know_their_staleness():
    parts = federation(sizes=SIZES)
    first, second = parts.world.job(3, 0, 0.0), parts.world.job(1, 2, 0.0)
    pool = submitted(farm(parts), parts, [second, first])
    updates = pool.collect(Step(5, 0.0, (first, second), (), group=2))
    assert [(update.job.client, update.staleness) for update in updates] == [(3, 4), (1, 2)]
    assert (updates.step, updates.group) == (5, 2)


def test_jobs_wait_until_a_step_wants_them():
    parts = federation(sizes=SIZES)
    jobs = parts.jobs()
    pool = submitted(farm(parts), parts, jobs)
    assert len(pool.collect(Step(1, 0.0, (jobs[4],), ()))) == 1
    assert len(pool.collect(Step(2, 0.0, tuple(jobs[:4]), ()))) == 4


@dataclass(frozen=True)
class Odd(FedAvg):
    """Gathers; client 1 fails, client 2 diverges."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "head": "each"}

    def local(self, fit, sent, client):
        w = fit(sent["w"])
        if client.id == 1:
            raise ValueError("no power")
        if client.id == 2:
            w[0] = 2 * LIMIT
        return {"w": w, "head": w[:3]}


def test_failures_stay_with_their_client():
    parts = federation(sizes=SIZES, strategy=Odd())
    jobs = tuple(parts.jobs())
    updates = submitted(farm(parts), parts, jobs).collect(Step(1, 0.0, jobs, ()))
    together = Collective(Solo(), parts.trainer, parts.world, True)
    together.submit(jobs, lambda client: {"w": parts.world.initial})
    expected = together.collect(Step(1, 0.0, jobs, ()))
    assert [update.job.client for update in updates.failures] == [1, 2]
    assert "no power" in updates.failures[0].failure
    assert "diverged" in updates.failures[1].failure
    assert torch.equal(updates.mean("w"), expected.mean("w"))
    assert torch.equal(updates.gather("head"), expected.gather("head"))
    assert all(map(torch.equal, updates.every("head"), expected.every("head")))


def test_answers_of_jobs_given_up_are_not_kept():
    parts = federation(sizes=SIZES)
    jobs = parts.jobs()
    pool = submitted(Farm(Solo(), parts.trainer, parts.world, True, 60.0, wall_clock=True), parts, jobs)
    assert len([pool.arrival(1.0) for _ in jobs[1:]]) == len(pool._answers) == 4
    pool.collect(Step(1, 0.0, tuple(jobs[:2]), (), lost=tuple((job, "straggler") for job in jobs[2:])))
    assert not pool._answers
    assert pool.arrival(1.0) is not None  # the last one was still to come, and is not kept either
    assert not pool._answers


def test_the_wall_clock_ends_jobs_when_they_are_done_and_their_delay_has_passed():
    parts = federation(sizes=SIZES)
    delays = np.array([0.2, 0.0, 0.0, 0.0, 0.0])
    world = replace(parts.world, devices=replace(parts.world.devices, delay_s=delays))
    pool = farm(parts)
    clock = WallClock(pool, world)
    jobs = [world.job(client, 0, 0.0) for client in range(3)]
    clock.start(jobs)
    submitted(pool, parts, jobs)
    ended = [clock.next() for _ in range(3)]
    assert [job.client for job in ended] == [1, 2, 0]
    assert ended[2].finish >= 0.2
    assert [job.finish for job in ended] == sorted(job.finish for job in ended)
    assert clock.next() is None
    assert clock.running == 0


def test_the_wall_clock_gives_up_on_dropped_jobs_and_stops_at_its_limit():
    parts = federation(sizes=SIZES)
    world = replace(parts.world, devices=replace(parts.world.devices, dropout=1.0, step_s=np.full(5, 0.1)))
    clock = WallClock(farm(parts), world)
    job = world.job(0, 0, clock.now)
    assert job.dropped
    clock.start([job])
    assert clock.next(until=clock.now) is None
    assert clock.running == 1
    ended = clock.next()
    assert (ended.key, ended.finish) == (job.key, job.finish)
    assert clock.now >= job.finish
    assert clock.running == 0


@pytest.mark.parametrize("schedule", [Synchronous(c_ratio=0.5), Buffered(num_generator=2, in_flight=3)])
def test_schedules_run_on_the_wall_clock_as_they_are(schedule):
    parts = federation(sizes=SIZES)
    world = replace(parts.world, rounds=4)
    pool = farm(parts)
    combined = 0
    for step in schedule(world, WallClock(pool, world)):
        updates = pool.collect(step)
        assert len(updates) == len(step.done)
        combined += bool(step.done)
        pool.submit(step.start, lambda client: {"w": world.initial})
    assert combined == 4


@pytest.mark.parametrize(("wall_clock", "order"), [(False, [1, 2, 0]), (True, [0, 1, 2])])
def test_jobs_are_done_in_order_of_their_finish_and_on_the_wall_clock_of_their_start(wall_clock, order):
    parts = federation(sizes=SIZES)
    jobs = [
        replace(parts.world.job(k, 0, 0.0), start=float(k), finish=finish) for k, finish in enumerate((9.0, 5.0, 7.0))
    ]
    pool = submitted(Farm(Solo(), parts.trainer, parts.world, True, 60.0, wall_clock), parts, jobs)
    assert [pool.arrival(1.0).client for _ in jobs] == order


class Told(FedAvg):
    """Says who it is in bytes, some at more length."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "word": "bytes"}

    def local(self, fit, sent, client):
        return {"w": fit(sent["w"]), "word": torch.full((1 + client.id,), 250, dtype=torch.uint8)}


def test_bytes_stay_bytes_with_zeros_behind_the_shorter_ones():
    parts = federation(sizes=SIZES, strategy=Told())
    jobs = tuple(parts.jobs())
    words = submitted(farm(parts), parts, jobs).collect(Step(1, 0.0, jobs, ())).each["word"]
    assert {word.dtype for word in words} == {torch.uint8}
    assert [word.tolist() for word in words] == [[250] * (1 + k) + [0] * (4 - k) for k in range(5)]
