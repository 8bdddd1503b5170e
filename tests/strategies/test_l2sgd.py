"""L2SGD on three numbers."""

from types import SimpleNamespace

import pytest
import torch
from cohorts import W

from hpcfl.rng import stream
from hpcfl.strategies import L2SGD

SENT = {"w": torch.tensor([5.0, 2.0, -1.0])}


def client(version, number=0, **state):
    return SimpleNamespace(id=number, version=version, seed=0, lr=0.1, state=state)


def heads(version, p):
    return stream(0, "l2sgd", version).random() < p


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_a_step_mixes_or_trains_and_all_clients_agree_which(p):
    strategy, kinds = L2SGD(p=p, lam=1.0), set()
    share = 0.1 * (1 - p) / p
    for version in range(20):
        one, other = client(version, own=W), client(version, 1, own=W)
        for each in (one, other):
            w = strategy.local(lambda w: w + 1, SENT, each)["w"]
            mixed = [a + share * (b - a) for a, b in zip(W.tolist(), SENT["w"].tolist())]
            assert w.tolist() == pytest.approx(mixed if heads(version, p) else (W + 1).tolist())
            assert strategy.personal(None, SENT, each) is w
        kinds.add(heads(version, p))
    assert kinds == {True, False}


def test_probabilities_are_kept():
    assert sum(heads(version, 0.3) for version in range(2000)) / 2000 == pytest.approx(0.3, abs=0.03)


def test_nobody_goes_beyond_the_mean():
    version = next(version for version in range(20) if heads(version, 0.5))
    w = L2SGD(p=0.5, lam=1e6).local(None, SENT, client(version, own=W))["w"]
    assert w.tolist() == SENT["w"].tolist()


def test_a_newcomer_has_the_mean():
    assert L2SGD().personal(None, SENT, client(3)) is SENT["w"]
    assert L2SGD(p=0.0).local(lambda w: w + 1, SENT, client(3))["w"].tolist() == [6.0, 3.0, 0.0]
