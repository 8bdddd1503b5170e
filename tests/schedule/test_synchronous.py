"""Synchronous rounds on the virtual clock."""

import numpy as np
import pytest
from scenario import clients, lost, run, told
from scenario import world as seconds

from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.errors import JobError, TrainingError
from hpcfl.schedule import Synchronous


def world(clients=10, rounds=4, seed=0, epochs=(1, 1)):
    counts = np.stack([np.arange(1, clients + 1), np.zeros(clients, int)], 1)
    return World(seed, rounds, counts, 2, epochs, Devices.alike(clients, 0.5))


@pytest.mark.parametrize(
    "clients, c_ratio, size",
    [(10, 1.0, 10), (10, 0.3, 3), (10, 0.01, 1), (1, 0.2, 1), (7, 0.5, 4), (50, 0.3, 15)],
)
def test_cohort_sizes(clients, c_ratio, size):
    steps = run(Synchronous(c_ratio), world(clients))
    assert [len(step.start) for step in steps] == [size] * 4 + [0]


def test_steps_follow_one_another():
    steps = run(Synchronous(0.4), world())
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert (steps[0].time, steps[0].done) == (0.0, ())
    assert steps[-1].start == ()
    for before, after in zip(steps, steps[1:]):
        assert after.done == before.start
        assert {job.version for job in before.start} == {before.index}
        assert {job.start for job in before.start} == {before.time}


def test_everybody_waits_for_the_slowest():
    steps = run(Synchronous(0.4), world(epochs=(1, 3)))
    for before, after in zip(steps, steps[1:]):
        assert after.time == max(job.finish for job in before.start)
        slowest = max(job.epochs * -(-job.examples // 2) for job in before.start)
        assert after.time == before.time + 0.5 * slowest


def test_nobody_is_drawn_twice_and_the_order_is_by_client():
    for step in run(Synchronous(0.5), world(rounds=20)):
        assert clients(step.start) == sorted(set(clients(step.start)))


def test_everybody_gets_a_turn_and_rounds_differ():
    cohorts = [tuple(clients(step.start)) for step in run(Synchronous(0.3), world(rounds=40))][:-1]
    counts = np.bincount(np.concatenate(cohorts), minlength=10)
    assert counts.min() > 3
    assert len(set(cohorts)) > 20


def test_by_turns_everybody_trains_equally_often():
    steps = run(Synchronous(0.4, "round_robin"), world(5))
    assert [clients(step.start) for step in steps] == [[0, 1], [2, 3], [0, 4], [1, 2], []]
    assert steps == run(Synchronous(0.4, "round_robin"), world(5, seed=1))


def test_a_lost_round_goes_on_with_those_whose_turn_is_next():
    steps = run(Synchronous(0.25, "round_robin"), seconds([1] * 4, rounds=20, dropout=0.5))
    assert [clients(step.start) for step in steps[:-1]] == [[turn % 4] for turn in range(len(steps) - 1)]
    assert len(steps) > 21


def test_the_seed_decides():
    def drawn(seed):
        return [clients(step.start) for step in run(Synchronous(0.3), world(seed=seed, rounds=10))]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_a_round_does_not_depend_on_how_many_there_are():
    short, long = (run(Synchronous(0.3), world(rounds=rounds)) for rounds in (3, 9))
    assert short[:3] == long[:3]


def test_a_deadline_leaves_stragglers_behind():
    steps = run(Synchronous(deadline=3.0), seconds([1, 2, 3, 7], rounds=3))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2, 3]),
        (1, 3.0, [0, 1, 2], [0, 1, 2, 3]),  # exactly at the deadline is in time
        (2, 6.0, [0, 1, 2], [0, 1, 2, 3]),
        (3, 9.0, [0, 1, 2], []),  # client 3 was told to stop: its jobs of 7 s never arrive, not even at time 7
    ]
    assert [lost(step) for step in steps] == [[], *[[(3, "straggler")]] * 3]


def test_a_round_that_ends_before_its_deadline_closes_then():
    assert [step.time for step in run(Synchronous(deadline=30.0), seconds([1, 2]))] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_with_nobody_in_time_the_first_to_arrive_is_waited_for():
    steps = run(Synchronous(deadline=1.0), seconds([4, 3, 3], rounds=2))
    assert told(steps)[1:] == [(1, 3.0, [1], [0, 1, 2]), (2, 6.0, [1], [])]
    assert lost(steps[1]) == [(0, "straggler"), (2, "straggler")]


def test_a_round_closes_with_the_first_few():
    steps = run(Synchronous(first=2), seconds([4, 2, 1, 2], rounds=2))
    assert told(steps)[1:] == [(1, 2.0, [1, 2], [0, 1, 2, 3]), (2, 4.0, [1, 2], [])]
    assert lost(steps[1]) == [(0, "straggler"), (3, "straggler")]
    assert told(run(Synchronous(first=2, deadline=1.5), seconds([4, 2, 1, 2], rounds=1)))[1] == (1, 1.5, [2], [])


def test_more_than_train_in_a_round_cannot_be_waited_for():
    with pytest.raises(JobError, match="schedule.first = 3: more than the 2 clients"):
        run(Synchronous(first=3, c_ratio=0.5), seconds([1] * 4))


def test_dropped_clients_are_lost_and_their_time_is_waited_out():
    steps = run(Synchronous(), seconds([1, 2, 3, 4], rounds=50, dropout=0.3))
    assert [step.index for step in steps if step.done] == list(range(1, 51))
    for before, after in zip(steps, steps[1:]):
        if after.done and before.done:
            assert clients(after.done) == [job.client for job in before.start if not job.dropped]
            assert lost(after) == [(job.client, "dropped") for job in before.start if job.dropped]
            assert after.time == before.time + 4
    assert 30 < sum(len(step.lost) for step in steps) < 100


def test_a_round_of_which_nothing_comes_is_made_again():
    steps = run(Synchronous(), seconds([1, 2], rounds=20, dropout=0.7))
    again = [step for step in steps if not step.done][1:]
    assert again
    for step in again:
        assert step.lost == ()
        assert {(job.version, job.visit > 0) for job in step.start} == {(step.index, True)}
    assert [step.index for step in steps if step.done] == list(range(1, 21))
    ended = [job.key for step in steps for job in [*step.done, *(job for job, _ in step.lost)]]
    assert sorted(ended) == sorted(job.key for step in steps for job in step.start)


def test_nobody_is_waited_for_for_ever():
    with pytest.raises(TrainingError, match="100 rounds in a row brought no update"):
        run(Synchronous(), seconds([1], dropout=0.999999))
