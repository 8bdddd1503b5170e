"""FedBuff's step on three numbers."""

import torch
from cohorts import W, cohort

from hpcfl.strategies import FedBuff

CHANGES = [[1.0, 0.0, -1.0], [2.0, 4.0, 0.0]]


def test_a_client_uploads_what_it_changed():
    change = FedBuff().local(lambda w: w * 2, {"w": W}, None)["change"]
    assert change.tolist() == [1.0, -2.0, 3.0]
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_fresh_updates_add_their_mean_whatever_their_samples():
    state = FedBuff().combine({"w": W}, cohort([(0, 0, 1), (1, 0, 100)], change=CHANGES))
    assert state["w"].tolist() == [2.5, 0.0, 2.5]


def test_a_stale_update_counts_less_and_still_is_one_of_m():
    state = FedBuff().combine({"w": W}, cohort([(0, 0, 1), (1, 3, 1)], change=CHANGES))
    assert state["w"].tolist() == [1 + (1 + 2 / 2) / 2, -2 + (4 / 2) / 2, 3 + -1 / 2]
    state = FedBuff().combine({"w": W}, cohort([(0, 8, 1)], change=[[3.0, 6.0, 9.0]]))
    assert torch.allclose(state["w"], torch.tensor([2.0, 0.0, 6.0]), rtol=1e-6)


def test_the_server_has_a_learning_rate():
    state = FedBuff(eta_g=0.5).combine({"w": W}, cohort([(0, 0, 1), (1, 0, 1)], change=CHANGES))
    assert state["w"].tolist() == [1.75, -1.0, 2.75]
