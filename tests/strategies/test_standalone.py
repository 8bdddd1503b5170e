"""Standalone on three numbers: what the server sends is never looked at."""

from types import SimpleNamespace

import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.strategies import Standalone

SENT = {"w": torch.tensor([7.0, 7.0, 7.0])}


def test_a_client_goes_on_from_its_own_last_model():
    client, strategy = SimpleNamespace(state={"w": W}, upload=lambda w: w), Standalone()
    assert strategy.personal(None, SENT, client).tolist() == [1.0, -2.0, 3.0]
    assert strategy.local(lambda w: w + 1, SENT, client)["w"].tolist() == [2.0, -1.0, 4.0]
    assert strategy.local(lambda w: w * 2, SENT, client)["w"].tolist() == [4.0, -2.0, 8.0]
    assert strategy.personal(None, SENT, client).tolist() == [4.0, -2.0, 8.0]
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_nothing_travels_and_the_mean_is_there_to_be_seen():
    strategy = Standalone()
    assert strategy.travels(LAYOUT, 0) == 0.0
    state = strategy.combine(strategy.init(world([1])), cohort([(0, 0, 1)], mean=[3.0, 2.0, 1.0]))
    assert state["w"].tolist() == [3.0, 2.0, 1.0]
