"""The round loop: in which order it does what, and how it ends."""

import numpy as np
import pytest
import torch

from hpcfl import engine
from hpcfl.clock import VirtualClock
from hpcfl.core import Cohort, Step, Update, World
from hpcfl.devices import Devices
from hpcfl.errors import TrainingError
from hpcfl.plan import plan
from hpcfl.schedule import Rounds, Synchronous
from hpcfl.strategies import FedAvg


class Tells:
    """A pool whose clients add 1 to what they are sent, and which writes down what it is asked."""

    def __init__(self, failing=()):
        self.log, self._failing, self._sent = [], failing, {}

    def submit(self, jobs, send):
        self.log.append(("submit", [job.version for job in jobs]))
        self._sent = {job.client: send(job.client) for job in jobs}

    def collect(self, step):
        self.log.append(("collect", [job.version for job in step.done]))
        updates = [Update(job, 0, job.steps, 0.5, 0.0, 0, self._failure(job)) for job in step.done]
        good = tuple(update for update in updates if not update.failure)
        means = {"w": torch.stack([self._sent[u.job.client]["w"] + 1 for u in good]).mean(0)} if good else {}
        return Cohort(good, tuple(update for update in updates if update.failure), means)

    def _failure(self, job):
        return f"reason {job.client}" if (job.version, job.client) in self._failing else None


def steps(schedule, world, retries):
    return Rounds(schedule, retries)(world, VirtualClock()) if retries else plan(schedule, world)


def run(pool, min_clients=1, rounds=2, clients=2, schedule=None, retries=0):
    world = World(0, rounds, np.ones((clients, 2), int), 4, (1, 1), Devices.alike(clients), initial=torch.zeros(3))
    recorded = []

    def record(step, updates, state, aggregating):
        pool.log.append(("record", step.index))
        recorded.append((step.index, len(updates), len(updates.failures), state["w"].tolist()))
        assert aggregating >= 0

    try:
        state = engine.run(world, FedAvg(), steps(schedule or Synchronous(), world, retries), pool, record, min_clients)
    finally:
        run.recorded = recorded
    return state["w"].tolist(), recorded


def test_a_step_is_recorded_after_the_next_was_submitted():
    pool = Tells()
    run(pool)
    assert pool.log == [
        ("collect", []),
        ("submit", [0, 0]),
        ("collect", [0, 0]),
        ("submit", [1, 1]),
        ("record", 1),
        ("collect", [1, 1]),
        ("submit", []),
        ("record", 2),
    ]


def test_the_state_that_is_sent_combined_and_recorded_is_the_newest():
    assert run(Tells(), rounds=3) == ([3.0] * 3, [(k, 2, 0, [float(k)] * 3) for k in (1, 2, 3)])


def test_failures_are_recorded_and_the_run_goes_on():
    final, recorded = run(Tells(failing={(0, 1)}))
    assert final == [2.0] * 3
    assert [row[1:3] for row in recorded] == [(1, 1), (2, 0)]


def test_too_few_clients_end_the_run():
    pool = Tells(failing={(1, 0), (1, 2)})
    with pytest.raises(TrainingError) as caught:
        run(pool, min_clients=2, rounds=5, clients=3)
    assert str(caught.value) == (
        "step 2: 2 of 3 clients failed and 1 succeeded, fewer than server.min_clients = 2; "
        "first failure: client 0: reason 0"
    )
    assert pool.log[-1] == ("record", 2)
    assert ("submit", [2, 2, 2]) not in pool.log
    assert run.recorded == [(1, 3, 0, [1.0] * 3), (2, 1, 2, [1.0] * 3)]


class FailsFirst(Tells):
    """Client 0 fails in its first `often` jobs from each model."""

    def __init__(self, often):
        super().__init__()
        self._often = often

    def _failure(self, job):
        return f"visit {job.visit}" if job.client == 0 and job.visit < self._often else None


def test_a_round_of_too_few_is_tried_again_from_the_same_model():
    pool = FailsFirst(2)
    final, recorded = run(pool, min_clients=3, clients=3, retries=2)
    assert final == [2.0] * 3
    assert recorded == [(k, 3, 6, [float(k)] * 3) for k in (1, 2)]  # two tries in vain of three clients each
    assert pool.log[:9] == [
        ("collect", []),
        ("submit", [0, 0, 0]),
        ("collect", [0, 0, 0]),
        ("collect", []),
        ("submit", [0, 0, 0]),
        ("collect", [0, 0, 0]),
        ("collect", []),
        ("submit", [0, 0, 0]),
        ("collect", [0, 0, 0]),
    ]


def test_what_became_of_the_tries_is_seen_with_the_round():
    seen = []
    world = World(0, 1, np.ones((2, 2), int), 4, (1, 1), Devices.alike(2), initial=torch.zeros(3))
    engine.run(
        world, FedAvg(), steps(Synchronous(), world, 1), FailsFirst(1), lambda step, cohort, *rest: seen.append(cohort),
        2, examine=lambda step, cohort, state: seen.append([(job.client, job.visit) for job in step.done]),
    )  # fmt: skip
    begun, asked, cohort = seen
    assert (begun, asked) == ([], [(0, 0), (1, 0), (0, 1), (1, 1)])
    assert [(update.job.client, update.job.visit) for update in cohort] == [(0, 1), (1, 1)]
    assert {(update.job.client, update.job.visit): update.failure for update in cohort.failures} == {
        (1, 0): "the round was tried again: 1 succeeded, fewer than server.min_clients = 2",
        (0, 0): "visit 0",
    }


@pytest.mark.parametrize(("retries", "said"), [(1, "the try before"), (2, "2 tries before")])
def test_tries_come_to_an_end(retries, said):
    with pytest.raises(TrainingError) as caught:
        run(FailsFirst(9), min_clients=3, clients=3, retries=retries)
    assert str(caught.value) == (
        "step 1: 1 of 3 clients failed and 2 succeeded, fewer than server.min_clients = 3, and too few in "
        f"{said}; first failure: client 0: visit {retries}"
    )
    assert run.recorded == [(1, 2, 1 + 3 * retries, [0.0] * 3)]


def test_no_client_left():
    with pytest.raises(TrainingError, match="step 1: 2 of 2 clients failed and 0 succeeded.*client 0: reason 0"):
        run(Tells(failing={(0, 0), (0, 1)}))


def test_a_schedule_that_starts_too_few_is_told_apart_from_failures():
    said = "step 1: 0 of 1 clients failed and 1 succeeded.*the schedule starts too few"
    with pytest.raises(TrainingError, match=said):
        run(Tells(), min_clients=3, clients=10, schedule=Synchronous(c_ratio=0.1))


def test_a_step_that_ends_nothing_is_not_recorded():
    def idle(world, clock):
        yield Step(0, 0.0, (), ())
        yield Step(1, 1.0, (), (world.job(0, 1, 1.0),))
        yield Step(2, 2.0, (world.job(0, 1, 1.0),), ())

    final, recorded = run(Tells(), schedule=idle)
    assert (final, [row[0] for row in recorded]) == ([1.0] * 3, [2])


def test_a_run_in_which_nothing_ever_arrives_does_not_end_well():
    everybody = {(version, client) for version in range(3) for client in range(9)}
    with pytest.raises(TrainingError, match="step 3: 1 of 1 clients failed.*first failure: client"):
        run(Tells(failing=everybody), min_clients=0, rounds=3, clients=9, schedule=Synchronous(c_ratio=0.1))
    assert [row[0] for row in run.recorded] == [1, 2, 3]
