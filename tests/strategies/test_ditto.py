"""Ditto on three numbers: two trained, one only averaged."""

from types import SimpleNamespace

import torch
from cohorts import W

from hpcfl.strategies import Ditto

SENT = {"w": W}


def trainer(strategy, client, rate=0.5, gradient=(4.0, 2.0)):
    """A `fit` of one step down the same gradient everywhere."""

    def fit(w):
        grad, end = torch.tensor(gradient), w + torch.tensor([0.0, 0.0, 1.0])
        strategy.correct(grad, w[:2], w[:2], SENT, client)
        end[:2] -= rate * grad
        return end

    return fit


def test_the_own_model_is_pulled_to_the_one_that_was_sent_and_the_global_one_is_not():
    client, strategy = SimpleNamespace(state={}), Ditto(lam=0.5)
    assert strategy.personal(None, SENT, client) is W
    fit = trainer(strategy, client)
    # the first time v is w, where there is no pull
    assert strategy.local(fit, SENT, client)["w"].tolist() == [-1.0, -3.0, 4.0]
    assert client.state["v"].tolist() == [-1.0, -3.0, 4.0]
    # then v - w = (-2, -1): v - 0.5 (g + 0.5 (v - w))
    assert strategy.local(fit, SENT, client)["w"].tolist() == [-1.0, -3.0, 4.0]
    assert client.state["v"].tolist() == [-1 - 0.5 * (4 - 1.0), -3 - 0.5 * (2 - 0.5), 5.0]
    assert strategy.personal(None, SENT, client) is client.state["v"]
    assert W.tolist() == [1.0, -2.0, 3.0]
