"""The longest way through a schedule's jobs, on so many client ranks; counted by hand."""

import pytest

from hpcfl.core import Job, Step
from hpcfl.preflight.critical import asynchronous, best_workers, synchronous


def job(client, steps, finish=1.0, version=0):
    return Job(client, version, 0.0, finish, steps, 1, steps)


def round_of(*steps):
    jobs = tuple(job(client, count) for client, count in enumerate(steps))
    return [Step(0, 0.0, (), jobs), Step(1, 1.0, jobs, ())]


@pytest.mark.parametrize("workers, longest", [(1, 10), (2, 5), (3, 4), (4, 4), (9, 4)])
def test_a_round_is_as_long_as_its_busiest_rank(workers, longest):
    assert synchronous(round_of(4, 3, 2, 1), 1, private=False)(workers) == [longest]


def test_clients_with_a_home_cannot_be_dealt():
    assert synchronous(round_of(4, 3, 2, 1), 1, private=True)(2) == [6]


def test_clients_of_one_program_stay_together():
    assert synchronous(round_of(4, 3, 2, 1), 2, private=False)(4) == [7]


def asynchronous_steps():
    """Three jobs, of which the first to end is replaced by one that the last step waits for."""
    first = [job(0, 2, 2.0), job(1, 3, 3.0), job(2, 9, 9.0)]
    again = job(0, 2, 4.0, version=1)
    return [
        Step(0, 0.0, (), tuple(first)), Step(1, 2.0, (first[0],), (again,)), Step(2, 3.0, (first[1],), ()),
        Step(3, 4.0, (again,), ()), Step(4, 9.0, (first[2],), ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "workers, spans",
    [
        (1, [2, 3, 2, 9]),  # one after the other, in the order of their virtual end
        (2, [2, 1, 1, 8]),  # client 0 again is due before client 2, which waits until 3
        (3, [2, 1, 1, 5]),  # all begin at once
    ],
)
def test_free_ranks_take_what_is_due_first(workers, spans):
    assert asynchronous(asynchronous_steps(), private=False)(workers) == spans


def test_best_is_the_fewest_ranks_that_are_as_good_as_all():
    path = synchronous(round_of(4, 3, 2, 1), 1, private=False)
    assert best_workers(lambda workers: sum(path(workers)), 4) == 3
    assert best_workers(lambda workers: 100 / workers, 1) == 1
