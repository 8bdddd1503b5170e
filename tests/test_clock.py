"""The virtual clock."""

import math

from hpcfl.clock import VirtualClock
from hpcfl.core import Job


def job(client, finish, version=0, visit=0):
    return Job(client, version, 0.0, finish, 1, 1, 1, visit)


def test_jobs_end_in_order_of_time():
    clock = VirtualClock()
    clock.start([job(0, 3.0), job(1, 1.0)])
    clock.start([job(2, 2.0)])
    assert clock.running == 3
    assert [(clock.next().client, clock.now) for _ in range(3)] == [(1, 1.0), (2, 2.0), (0, 3.0)]
    assert (clock.running, clock.next(), clock.now) == (0, None, 3.0)


def test_ties_go_to_the_lower_client_version_and_visit():
    clock = VirtualClock()
    jobs = [job(2, 1.0), job(0, 1.0, 1), job(0, 1.0, 0, 1), job(0, 1.0)]
    clock.start(jobs)
    assert [clock.next() for _ in jobs] == [jobs[3], jobs[2], jobs[1], jobs[0]]


def test_time_goes_on_until_it_is_told_to_stop():
    clock = VirtualClock()
    clock.start([job(0, 2.0)])
    assert (clock.next(1.5), clock.now, clock.running) == (None, 1.5, 1)
    assert (clock.next(1.0), clock.now) == (None, 1.5)
    assert (clock.next(2.0).client, clock.now) == (0, 2.0)
    assert (clock.next(5.0), clock.now) == (None, 5.0)
    assert (clock.next(math.inf), clock.now) == (None, 5.0)


def test_time_never_goes_back():
    clock = VirtualClock()
    clock.start([job(0, 2.0)])
    clock.next(3.0)
    clock.start([job(1, 1.0)])
    assert (clock.next().client, clock.now) == (1, 2.0)
