"""Groups in rhythms of their own."""

import numpy as np
import pytest
from scenario import clients, run, told, world

from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.errors import JobError, TrainingError
from hpcfl.schedule import Synchronous, Tiered
from hpcfl.schedule.grouping import Delay, Latency, One


def test_two_tiers_by_hand():
    steps = run(Tiered(group=Latency(2)), world([2, 5, 1, 4], rounds=5))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2, 3]),
        (1, 2.0, [0, 2], [0, 2]),
        (2, 4.0, [0, 2], [0, 2]),
        (3, 5.0, [1, 3], [1, 3]),
        (4, 6.0, [0, 2], [0, 2]),
        (5, 8.0, [0, 2], []),
    ]
    assert [step.group for step in steps] == [0, 0, 0, 1, 0, 0]
    assert [[step.staleness(job) for job in step.done] for step in steps] == [
        [],
        [0, 0],
        [0, 0],
        [2, 2],
        [1, 1],
        [0, 0],
    ]


def test_a_tie_of_groups_goes_to_the_lower_client():
    steps = run(Tiered(group=Latency(3)), world([2, 2, 1], rounds=4))
    assert [(step.time, clients(step.done)) for step in steps[1:]] == [(1, [2]), (2, [0]), (2, [1]), (2, [2])]


def test_each_group_trains_a_share_of_its_own():
    steps = run(Tiered(c_ratio=0.5, group=Latency(2)), world([1, 1, 1, 1, 3, 3, 3, 3, 3, 3], rounds=30))
    assert {(step.group, len(step.start)) for step in steps[1:-1]} == {(0, 2), (1, 2)}
    assert clients(steps[0].start) == sorted(clients(steps[0].start))
    trained = [set(), set()]
    for step in steps:
        trained[step.group] |= set(clients(step.done))
    assert trained == [{0, 1, 2, 3, 4}, {5, 6, 7, 8, 9}]


@pytest.mark.parametrize("c_ratio", [0.3, 1.0])
@pytest.mark.parametrize("choose", ["random", "round_robin"])
@pytest.mark.parametrize("dropout", [0.0, 0.6])
def test_one_tier_is_synchronous(c_ratio, choose, dropout):
    there = world([3, 1, 4, 1, 5, 9, 2], rounds=20, dropout=dropout)
    assert run(Tiered(c_ratio, choose), there) == run(Synchronous(c_ratio, choose), there)


def test_each_group_takes_turns_of_its_own():
    steps = run(Tiered(0.5, "round_robin", Latency(2)), world([1, 2.5, 1, 2.5, 1, 2.5], rounds=5))
    assert [(step.group, clients(step.start)) for step in steps] == [
        (0, [0, 1, 2, 3]),  # two of clients 0, 2, 4 and two of 1, 3, 5
        (0, [0, 4]),
        (0, [2, 4]),
        (1, [1, 5]),
        (0, [0, 2]),
        (0, []),
    ]


def test_a_group_of_which_nothing_comes_begins_again_from_the_newest_model():
    steps = run(Tiered(group=Latency(2)), world([1, 3], rounds=60, dropout=0.5))
    again = [step for step in steps if not step.done][1:]
    assert {step.group for step in again} == {0, 1}
    assert all(job.version == step.index for step in again for job in step.start)
    assert any(job.visit for step in again for job in step.start)
    with pytest.raises(TrainingError, match="100 rounds of group 0 in a row"):
        run(Tiered(), world([1], dropout=0.999999))


def test_groups_by_delay():
    delays = np.array([0.0, 9.9, 10.0, 35.0, 3.0, 31.0])
    assert Delay(10.0)(world([1] * 6, delay_s=delays)) == ((0, 1, 4), (2,), (3, 5))
    assert Delay(100.0)(world([1] * 6, delay_s=delays)) == ((0, 1, 2, 3, 4, 5),)
    assert One()(world([1] * 3)) == ((0, 1, 2),)


def test_tiers_by_latency_are_equal_and_the_first_is_the_fastest():
    assert Latency(2)(world([3, 1, 2, 4])) == ((1, 2), (0, 3))
    assert Latency(3)(world([1, 1, 1, 1, 1])) == ((0, 1), (2, 3), (4,))
    assert Latency(2)(world([1, 1], delay_s=np.array([5.0, 0.0]))) == ((1,), (0,))
    counts = np.array([[9], [1], [4]])
    assert Latency(3)(World(0, 1, counts, 2, (1, 3), Devices.alike(3))) == ((1,), (2,), (0,))


def test_tiers_without_clients():
    with pytest.raises(JobError, match=r"schedule.group.tiers = 4: tiers without clients, there are only 3"):
        run(Tiered(group=Latency(4)), world([1, 2, 3]))


@pytest.mark.parametrize("groups", [((0, 1),), ((0, 1), (2, 1)), ((0, 1, 2), ()), ((0, 1, 2, 3),)])
def test_every_client_is_in_one_group(groups):
    with pytest.raises(JobError, match="schedule.group: gives .* each of the 3 clients should be in one group"):
        run(Tiered(group=lambda world: groups), world([1, 2, 3]))
