"""M-step AsyncFL's weights and step on three numbers."""

import math

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.strategies import StepAsync

# <w, w> = 14, and with the two models 14 * 1.5 and 14 * 0.5
MODELS = [[1.5, -3.0, 4.5], [0.5, -1.0, 1.5]]


def start(clients=3):
    return StepAsync().init(world([5] * clients))


def test_the_deviation_is_the_relative_length_along_the_model():
    models = torch.tensor([*MODELS, [1.0, -2.0, 3.0], [2.0, 1.0, 0.0], [-1.0, 2.0, -3.0]])
    assert StepAsync().deviation(W, models).tolist() == [0.5, -0.5, 0.0, -1.0, -2.0]
    assert StepAsync().deviation(torch.zeros(3), models).tolist() == [0.0] * 5


def test_without_rho_the_samples_decide():
    state = StepAsync(alpha=1.0, rho=0.0).combine(
        start(), cohort([(0, 0, 3), (2, 4, 1)], w=[[4.0, 0.0, 8.0], [0.0] * 3])
    )
    assert state["w"].tolist() == pytest.approx([3.0, 0.0, 6.0])
    assert state["uploads"].tolist() == [1, 0, 1]


def test_two_clients_are_weighted_by_deviation_over_frequency():
    strategy, before = StepAsync(alpha=0.5, rho=0.2), {"w": W, "uploads": torch.tensor([4, 0, 2])}
    state = strategy.combine(before, cohort([(0, 0, 2), (1, 1, 6)], w=[[3.0, -2.0, 3.0], [1.0, -2.0, 4.0]]))
    # of 8 uploads client 0 has 5 and client 1 has 1; <w, w_k> = 16 and 17
    first = 2 * math.exp(-0.2 * (2 / 14) / (5 / 8))
    second = 6 * math.exp(-0.2 * (3 / 14) / (1 / 8))
    share = first / (first + second)
    assert state["w"].tolist() == pytest.approx([1 + 0.5 * 2 * share, -2.0, 3 + 0.5 * (1 - share)], rel=1e-6)
    assert state["uploads"].tolist() == [5, 1, 2]
    assert before["uploads"].tolist() == [4, 0, 2]


def test_a_client_that_is_there_twice_counts_twice():
    state = StepAsync(rho=0.0, alpha=1.0).combine(start(), cohort([(1, 0, 1), (1, 1, 1)], w=MODELS))
    assert state["uploads"].tolist() == [0, 2, 0]
    assert state["w"].tolist() == [1.0, -2.0, 3.0]


def test_weights_far_from_the_model_do_not_vanish_together():
    far = [[1e3, 0.0, 0.0], [1e3, 0.0, 1.0]]
    state = StepAsync(rho=1e4, alpha=1.0).combine(start(), cohort([(0, 0, 1), (1, 0, 1)], w=far))
    assert state["w"].tolist() == pytest.approx(far[0])  # the nearer one takes all: exp would have been 0 for both
