"""Rounds that are drawn as they begin: the synchronous ones where all goes well, and new tries where it does not."""

import numpy as np
import pytest

from hpcfl.clock import VirtualClock
from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.errors import TrainingError
from hpcfl.plan import plan
from hpcfl.schedule import Rounds, Synchronous


def world(dropout: float = 0.0, rounds: int = 5, first: int = 0) -> World:
    counts = np.arange(1, 11)[:, None] * np.ones((1, 2), int)
    devices = Devices(0, np.linspace(1, 2, 10), np.zeros(10), np.zeros(10), np.zeros(10), dropout)
    return World(3, rounds, counts, 2, (1, 2), devices, first=first)


def made(rounds: Rounds, world: World, rejected=(), since: float = 0.0) -> list:
    """(index, time, jobs, lost) of the steps that end something; those whose number is `rejected` are."""
    found = []
    for step in rounds(world, VirtualClock(since)):
        if step.done:
            found.append((step.index, step.time, step.done, step.lost))
            if len(found) in rejected:
                step.reject()
                continue
        if step.choose:
            step.choose({})
    return found


@pytest.mark.parametrize("closing", [Synchronous(0.4), Synchronous(0.5, first=3), Synchronous(0.3, deadline=6.0)])
@pytest.mark.parametrize("dropout", [0.0, 0.6])
def test_where_no_round_is_rejected_they_are_the_synchronous_ones(closing, dropout):
    expected = [(step.index, step.time, step.done, step.lost) for step in plan(closing, world(dropout)) if step.done]
    assert made(Rounds(closing, 3), world(dropout)) == expected


def test_a_rejected_round_is_drawn_anew_and_begins_where_it_ended():
    steps = made(Rounds(Synchronous(0.4), 2), world(), rejected=(2, 3))
    assert [step[0] for step in steps] == [1, 2, 2, 2, 3, 4, 5]
    tries = steps[1:4]
    assert len({tuple(job.client for job in done) for _, _, done, _ in tries}) == 3
    for (_, ended, *_), (_, _, done, _) in zip(tries, tries[1:]):
        assert {(job.version, job.start) for job in done} == {(1, ended)}


def test_a_client_drawn_twice_for_a_round_does_another_job():
    steps = made(Rounds(Synchronous(), 1), world(rounds=1), rejected=(1,))
    assert [{job.visit for job in done} for _, _, done, _ in steps] == [{0}, {1}]


@pytest.mark.parametrize("step", [1, 3])
def test_what_comes_after_a_round_knows_nothing_of_its_tries(step):
    whole = made(Rounds(Synchronous(0.4), 1), world(0.5), rejected=(step,))
    index, time, *_ = whole[step]  # that of the try that was not rejected
    assert made(Rounds(Synchronous(0.4), 1), world(0.5, first=index), since=time) == whole[step + 1 :]


def test_the_last_try_cannot_be_rejected():
    steps = Rounds(Synchronous(), 1)(world(), VirtualClock())
    next(steps).choose({})
    first = next(steps)
    first.reject()
    next(steps).choose({})
    assert next(steps).reject is None


def test_in_vain():
    with pytest.raises(TrainingError, match="100 rounds in a row"):
        made(Rounds(Synchronous(0.1), 1), world(0.999999))
