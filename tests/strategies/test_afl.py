"""AFL on three numbers; the projection against a search."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.strategies import AFL
from hpcfl.strategies.afl import project

SIZES, LOSSES = [2, 6, 0, 8], [1.0, 3.0]


def upload(client, lam, model, loss):
    def fit(w):
        return torch.tensor(model)

    fit.risk = lambda w: loss
    return AFL().local(fit, {"w": W, "lam": lam}, SimpleNamespace(id=client))


def test_clients_count_by_lam_and_those_that_do_badly_gain():
    strategy = AFL(eta=0.125)
    state = strategy.init(world(SIZES))
    assert state["lam"].tolist() == [0.125, 0.375, 0.0, 0.5]
    sent = strategy.send(state, 0)
    found = [upload(client, sent["lam"], [4.0 * client, 1.0, 0.0], loss) for client, loss in zip((0, 1), LOSSES)]
    assert [each["loss"].item() for each in found] == LOSSES
    mean = np.mean([each["w"].numpy() for each in found], axis=0)
    state = strategy.combine(state, cohort([(0, 0, 2), (1, 0, 6)], mean=mean, loss=LOSSES))
    assert state["w"].tolist() == [0.75 * 4.0, 1.0, 0.0]
    # (0.25, 0.75, 0, 0.5) is half too much: 1/6 off each of three leaves (1/12, 7/12, 0, 1/3)
    assert state["lam"].tolist() == pytest.approx([1 / 12, 7 / 12, 0, 1 / 3])


def test_a_step_of_clients_without_weight_leaves_the_model():
    strategy = AFL(eta=1.0)
    state = strategy.combine(strategy.init(world(SIZES)), cohort([(2, 0, 1)], mean=[0.0, 0.0, 0.0], loss=[4.0]))
    assert state["w"].tolist() == W.tolist()
    assert state["lam"].tolist() == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_projection_is_the_nearest_point(seed):
    """lam_i = max(0, x_i - theta), with theta found by bisection of the sum."""
    x = np.random.default_rng(seed).normal(size=6)
    low, high = x.min() - 1, x.max()
    for _ in range(100):
        theta = (low + high) / 2
        low, high = (theta, high) if np.maximum(0, x - theta).sum() > 1 else (low, theta)
    assert project(torch.from_numpy(x)).numpy() == pytest.approx(np.maximum(0, x - theta), abs=1e-12)
    inside = project(torch.from_numpy(np.full(4, 0.25)))
    assert inside.tolist() == [0.25] * 4
