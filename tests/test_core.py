"""The shared nouns: jobs follow from the world, and are dealt fairly."""

import numpy as np
import pytest

from hpcfl.core import Cohort, Job, World, first_line, shares
from hpcfl.devices import Devices


def world(**changes):
    fields = {
        "seed": 0,
        "rounds": 3,
        "counts": np.array([[3, 4], [10, 0], [1, 0]]),
        "batch_size": 4,
        "epochs": (2, 2),
        "devices": Devices.alike(3, 0.5),
    }
    return World(**{**fields, **changes})


def jobs_of(costs):
    return [Job(client, 0, 0.0, 1.0, cost, 1, 1) for client, cost in enumerate(costs)]


def test_a_job_follows_from_the_client_s_data():
    assert world().job(0, version=5, start=1.25) == Job(
        client=0, version=5, start=1.25, finish=1.25 + 4 * 0.5, examples=7, epochs=2, steps=4
    )
    assert world().job(1, 0, 0.0).steps == 2 * 3
    assert world().job(2, 0, 0.0).steps == 2
    assert world().job(1, 0, 0.0).cost == 20
    assert (world().clients, world().examples(1)) == (3, 10)


def test_slices_take_turns_and_are_all_of_the_client():
    sliced = world(slices=3)
    spans = [sliced.span(1, version) for version in range(4)]
    assert spans == [(0, 3), (3, 6), (6, 10), (0, 3)]
    jobs = [sliced.job(1, version, 0.0) for version in range(4)]
    assert [job.examples for job in jobs] == [3, 3, 4, 3]
    assert [job.steps for job in jobs] == [2] * 4
    assert {job.finish for job in jobs} == {2 * 0.5}
    assert (sliced.examples(1), world().span(1, 7)) == (10, (0, 10))


def test_a_second_job_from_the_same_model_is_on_the_next_slice():
    sliced = world(slices=3)
    assert sliced.span(1, 4, visit=1) == sliced.span(1, 5)
    assert sliced.span(1, 4, visit=-1) == sliced.span(1, 4)


def test_drawn_epochs_are_uniform_and_belong_to_the_job():
    drawn = [world(epochs=(1, 3)).job_epochs(client, version) for client in range(3) for version in range(200)]
    counts = np.bincount(drawn)
    assert len(counts) == 4
    assert counts[0] == 0
    assert counts[1:].min() > 160
    again = world(epochs=(1, 3))
    assert again.job_epochs(2, 199) == drawn[-1]
    job = again.job(0, 7, 0.0)
    assert job.epochs == drawn[7]
    assert job.steps == 2 * drawn[7]
    assert [world(epochs=(1, 3), seed=1).job_epochs(0, version) for version in range(200)] != drawn[:200]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_shares_deal_every_job_once_and_evenly(workers, count):
    costs = np.random.default_rng(count).integers(1, 100, count).tolist()
    jobs = jobs_of(costs)
    hands = shares(jobs, workers)
    assert len(hands) == workers
    assert sorted(job.client for hand in hands for job in hand) == list(range(count))
    loads = [sum(job.cost for job in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(costs, default=0)
    if count >= workers:
        assert min(map(len, hands)) >= 1


def test_shares_do_not_depend_on_the_order_of_asking():
    jobs = jobs_of([5, 5, 5, 9, 1, 1, 5])
    assert shares(jobs, 3) == shares(jobs[::-1], 3)
    assert [job.client for job in shares(jobs, 1)[0]] == [3, 0, 1, 2, 6, 4, 5]


def test_longest_first():
    hands = shares(jobs_of([1, 1, 1, 1, 4]), 2)
    assert sorted(sum(job.cost for job in hand) for hand in hands) == [4, 4]


def test_a_cohort_names_the_uploads_that_it_has():
    assert (len(Cohort(())), list(Cohort(()))) == (0, [])
    with pytest.raises(Exception, match="'v'.*w"):
        Cohort((), means={"w": None}).mean("v")
    with pytest.raises(Exception, match="'v'.*none"):
        Cohort(()).gather("v")


def test_first_line():
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 5000))) == 500
