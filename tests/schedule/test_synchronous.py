"""Synchronous rounds on the virtual clock."""

import numpy as np
import pytest

from hpcfl.core import World
from hpcfl.schedule import SCHEDULES, Synchronous


def world(clients=10, rounds=4, seed=0, epochs=(1, 1)):
    counts = np.stack([np.arange(1, clients + 1), np.zeros(clients, int)], 1)
    return World(seed, rounds, counts, 2, epochs, 0.5)


def clients_of(jobs):
    return [job.client for job in jobs]


@pytest.mark.parametrize(
    "clients, c_ratio, size",
    [(10, 1.0, 10), (10, 0.3, 3), (10, 0.01, 1), (1, 0.2, 1), (7, 0.5, 4), (50, 0.3, 15)],
)
def test_cohort_sizes(clients, c_ratio, size):
    steps = list(Synchronous(c_ratio)(world(clients)))
    assert [len(step.start) for step in steps] == [size] * 4 + [0]


def test_steps_follow_one_another():
    steps = list(Synchronous(0.4)(world()))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert (steps[0].time, steps[0].done) == (0.0, ())
    assert steps[-1].start == ()
    for before, after in zip(steps, steps[1:]):
        assert after.done == before.start
        assert {job.version for job in before.start} == {before.index}
        assert {job.start for job in before.start} == {before.time}


def test_everybody_waits_for_the_slowest():
    steps = list(Synchronous(0.4)(world(epochs=(1, 3))))
    for before, after in zip(steps, steps[1:]):
        assert after.time == max(job.finish for job in before.start)
        slowest = max(job.epochs * -(-job.examples // 2) for job in before.start)
        assert after.time == before.time + 0.5 * slowest


def test_nobody_is_drawn_twice_and_the_order_is_by_client():
    for step in Synchronous(0.5)(world(rounds=20)):
        assert clients_of(step.start) == sorted(set(clients_of(step.start)))


def test_everybody_gets_a_turn_and_rounds_differ():
    cohorts = [tuple(clients_of(step.start)) for step in Synchronous(0.3)(world(rounds=40))][:-1]
    counts = np.bincount(np.concatenate(cohorts), minlength=10)
    assert counts.min() > 3
    assert len(set(cohorts)) > 20


def test_the_seed_decides():
    def drawn(seed):
        return [clients_of(step.start) for step in Synchronous(0.3)(world(seed=seed, rounds=10))]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_a_round_does_not_depend_on_how_many_there_are():
    short, long = (list(Synchronous(0.3)(world(rounds=rounds))) for rounds in (3, 9))
    assert short[:3] == long[:3]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_ends_what_it_starts(name):
    steps = list(SCHEDULES[name]()(world()))
    started = [job for step in steps for job in step.start]
    assert sorted(started, key=str) == sorted((job for step in steps for job in step.done), key=str)
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert steps[-1].index == 4
