"""APFL on three numbers, two trained and one only averaged, against the formulas with a quadratic loss."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cohorts import LAYOUT, W

from hpcfl.strategies import APFL

SENT = {"w": W}
RATE, TARGET = 0.25, np.array([3.0, 2.0])


def trainer(strategy, client, steps=3):
    """A `fit` of `steps` gradient steps on |u - TARGET|^2 / 2; the number that is not trained grows by one."""

    def fit(w):
        u = w.clone()
        for _ in range(steps):
            grad = u[:2] - torch.from_numpy(TARGET).float()
            strategy.correct(grad, u[:2], w[:2], SENT, client)
            u[:2] -= RATE * grad
        u[2] += 1
        fit.steps += steps
        return u

    fit.steps = 0
    return fit


def by_hand(v, alpha, steps=3):
    """v and alpha after a job around W, written with v itself, and the gradients of the mixture."""
    w, gradients = W[:2].numpy().astype(float), []
    start = v
    for _ in range(steps):
        gradients.append(alpha * v + (1 - alpha) * w - TARGET)
        v = v - RATE * alpha * gradients[-1]
    return v, np.clip(alpha - RATE * np.dot(start - w, np.mean(gradients, 0)), 0.05, 1)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_the_own_part_takes_the_steps_of_the_paper(alpha):
    strategy, client = APFL(alpha=alpha), SimpleNamespace(state={}, layout=LAYOUT)
    fit, plain = trainer(strategy, client), trainer(strategy, SimpleNamespace(state={}))
    v = W[:2].numpy().astype(float)
    for job in range(3):
        assert strategy.local(fit, SENT, client)["w"].tolist() == plain(W).tolist()  # as in FedAvg
        v, _ = by_hand(v, alpha)
        assert client.state["v"].numpy() == pytest.approx([*v, 4.0 + job], rel=1e-5)
        assert client.state["alpha"].item() == pytest.approx(alpha)
    mixture = alpha * v + (1 - alpha) * W[:2].numpy()
    assert strategy.personal(None, SENT, client).numpy() == pytest.approx([*mixture, 6.0], rel=1e-5)
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_alpha_is_learned_down_the_slope():
    strategy, client = APFL(alpha=0.25, alpha_rate=1.0), SimpleNamespace(state={}, layout=LAYOUT)
    fit, v, alpha = trainer(strategy, client), W[:2].numpy().astype(float), 0.25
    for _ in range(3):
        strategy.local(fit, SENT, client)
        v, alpha = by_hand(v, alpha)
        assert client.state["alpha"].item() == pytest.approx(alpha, rel=1e-4)
    assert alpha > 0.5  # the own model helps, and gains weight


def test_before_its_first_job_a_client_uses_the_server_s():
    assert APFL().personal(None, SENT, SimpleNamespace(state={}, layout=LAYOUT)).tolist() == W.tolist()
