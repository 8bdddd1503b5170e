"""FedAT's tiers on three numbers."""

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.strategies import FedAT

TIERS = ((0, 1), (2,), (3, 4))


def after(*steps):
    """The state after the rounds (tier, mean of its cohort), and what it was before the last."""
    state = before = FedAT().init(world([1] * 5, TIERS))
    for number, (tier, mean) in enumerate(steps, start=1):
        before, state = state, FedAT().combine(state, cohort([(0, 0, 1)], step=number, group=tier, mean=mean))
    return state, before


def test_every_tier_starts_with_the_initial_model():
    state, _ = after()
    assert state["tiers"].tolist() == [W.tolist()] * 3
    assert state["rounds"].tolist() == [0, 0, 0]


def test_a_tier_counts_by_the_rounds_of_its_mirror_image():
    first, second, third = [8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0]
    state, before = after(
        (2, third), (0, [5.0] * 3), (1, second), (1, second), (0, [6.0] * 3), (0, [7.0] * 3), (0, first), (0, first)
    )
    assert state["rounds"].tolist() == [5, 2, 1]
    assert state["tiers"].tolist() == [first, second, third]
    assert state["w"].tolist() == [8 * 1 / 8, 8 * 2 / 8, 8 * 5 / 8]  # the slowest counts as the fastest has rounds
    assert before["rounds"].tolist() == [4, 2, 1]


def test_tiers_without_a_round_count_with_the_initial_model():
    state, before = after((0, [4.0, 4.0, 4.0]))
    assert state["w"].tolist() == W.tolist()  # tier 1's weight belongs to tier 3, which has none yet
    assert state["tiers"].tolist() == [[4.0] * 3, W.tolist(), W.tolist()]
    assert before["tiers"].tolist() == [W.tolist()] * 3
    state, _ = after((0, [4.0, 4.0, 4.0]), (2, [0.0, 0.0, 0.0]))
    assert state["w"].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("rounds", [[1], [1, 1, 1], [7, 3, 2], [90, 31, 5, 1]])
def test_the_weights_sum_to_one(rounds):
    strategy = FedAT()
    state = strategy.init(
        world([1] * len(rounds), tuple((tier,) for tier in range(len(rounds))), initial=torch.ones(3))
    )
    for tier, count in enumerate(rounds):
        for _ in range(count):
            state = strategy.combine(state, cohort([(tier, 0, 1)], group=tier, mean=[1.0, 1.0, 1.0]))
            assert state["w"].tolist() == pytest.approx([1.0] * 3, abs=3e-7)
    assert state["rounds"].tolist() == rounds


def test_without_groups_there_is_one_tier_and_the_mean_is_the_model():
    strategy = FedAT()
    state = strategy.combine(strategy.init(world([1, 1])), cohort([(0, 0, 1), (1, 0, 1)], mean=[0.1, 0.2, 0.3]))
    assert state["tiers"].shape == (1, 3)
    assert torch.equal(state["w"], torch.tensor([0.1, 0.2, 0.3]))


def test_the_pull_is_fedprox_s():
    grad = torch.zeros(2)
    FedAT(mu=0.5).correct(grad, torch.tensor([3.0, -2.0]), W[:2], {"w": W}, None)
    assert grad.tolist() == [1.0, 0.0]
