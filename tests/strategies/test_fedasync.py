"""FedAsync's mixing on three numbers."""

import pytest
import torch
from cohorts import W, cohort

from hpcfl.errors import JobError
from hpcfl.strategies import FedAsync


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({"staleness": "constant"}, {0: 0.5, 1: 0.5, 100: 0.5}),
        ({"staleness": "hinge", "a": 10.0, "b": 4.0}, {0: 0.5, 4: 0.5, 5: 0.5 / 11, 6: 0.5 / 21, 14: 0.5 / 101}),
        ({"staleness": "hinge"}, {4: 0.5, 5: 0.5 / 11}),
        ({"staleness": "hinge", "a": 1.0, "b": 0.0}, {0: 0.5, 1: 0.25, 3: 0.125}),
        ({"staleness": "hinge", "a": 0.0}, {50: 0.5}),
        ({"staleness": "polynomial", "a": 1.0}, {0: 0.5, 1: 0.25, 3: 0.125}),
        ({"staleness": "polynomial", "a": 0.0}, {50: 0.5}),
        ({}, {0: 0.5, 3: 0.25, 8: 0.5 / 3}),
        ({"r": 0.5}, {0: 0.25, 3: 0.125}),
    ],
)
def test_the_share_falls_with_staleness(fields, shares):
    strategy = FedAsync(alpha=0.5, **fields)
    assert {staleness: strategy.share(staleness) for staleness in shares} == pytest.approx(shares, rel=1e-15)


def test_a_fresh_update_counts_alpha_and_a_stale_one_less():
    strategy, state = FedAsync(alpha=0.5, staleness="polynomial", a=1.0), {"w": W}
    fresh = strategy.combine(state, cohort([(3, 0, 9)], w=[[3.0, 0.0, 3.0]]))
    assert fresh["w"].tolist() == [2.0, -1.0, 3.0]
    stale = strategy.combine(state, cohort([(3, 1, 9)], w=[[3.0, 0.0, 3.0]]))
    assert stale["w"].tolist() == [1.5, -1.5, 3.0]
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_several_updates_are_mixed_in_one_after_the_other():
    together = cohort([(0, 0, 1), (1, 0, 100)], w=[[3.0, 0.0, 3.0], [0.0, 3.0, -1.0]])
    state = FedAsync(alpha=0.5).combine({"w": W}, together)
    assert state["w"].tolist() == [1.0, 1.0, 1.0]  # halfway to the first: [2, -1, 3], and from there to the second


def test_with_alpha_one_the_update_becomes_the_model():
    theirs = torch.tensor([[0.1, 1e-8, -7e5]])
    state = FedAsync(alpha=1.0, staleness="constant").combine({"w": W}, cohort([(0, 5, 2)], w=theirs.tolist()))
    assert torch.equal(state["w"], theirs[0])


def test_a_share_above_one_is_refused():
    with pytest.raises(JobError, match=r"alpha r = 1\.2"):
        FedAsync(alpha=0.6, r=2.0)
