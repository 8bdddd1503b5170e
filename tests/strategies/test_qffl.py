"""q-FFL on three numbers, two trained and one only averaged, against the formula in numpy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.strategies import QFFL

LOSSES, SIZES, RATE = [0.5, 2.0], [3, 1], 0.1
MODELS = [[1.5, -2.0, 4.0], [0.0, -1.0, 8.0]]


def uploads(q, losses=LOSSES, rate=RATE):
    """What the two clients upload."""
    found = []
    for loss, model in zip(losses, MODELS):

        def fit(w, model=model):
            return torch.tensor(model)

        fit.risk = lambda w, loss=loss: loss
        found.append(QFFL(q=q).local(fit, {"w": W}, SimpleNamespace(layout=LAYOUT, lr=rate)))
    return found


def combined(q, **given):
    """The server's model after both."""
    found, shares = uploads(q, **given), np.array(SIZES) / sum(SIZES)
    means = {name: sum(p * each[name].numpy() for p, each in zip(shares, found)) for name in ("w", "h")}
    strategy = QFFL(q=q)
    arrived = [(client, 0, size) for client, size in enumerate(SIZES)]
    return strategy.combine(strategy.init(world(SIZES, layout=LAYOUT)), cohort(arrived, means=means))["w"].numpy()


def by_hand(q):
    w, models, losses = W.numpy()[:2], np.array(MODELS), np.array(LOSSES)
    d = (w - models[:, :2]) / RATE
    h = q * losses ** (q - 1) * (d**2).sum(1) + losses**q / RATE
    shares = np.array(SIZES) / sum(SIZES)
    step = (shares[:, None] * losses[:, None] ** q * d).sum(0) / (shares * h).sum()
    return [*(w - step), shares @ models[:, 2]]


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 3.0])
def test_the_step_is_that_of_the_paper(q):
    assert combined(q) == pytest.approx(by_hand(q), rel=1e-5)


def test_q_of_zero_is_fedavg():
    assert combined(0.0) == pytest.approx(0.75 * np.array(MODELS[0]) + 0.25 * np.array(MODELS[1]))


def test_a_client_without_loss_and_a_rate_of_zero_are_finite():
    assert np.isfinite(combined(0.5, losses=[0.0, 2.0])).all()
    assert np.isfinite(combined(2.0, rate=0.0)).all()
