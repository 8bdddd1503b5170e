"""SCAFFOLD on three numbers: two trained, one only averaged."""

from types import SimpleNamespace

import pytest
import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.strategies import Scaffold

SENT = {"w": W, "c": torch.tensor([0.5, -1.0])}


def fit(w):
    return w + torch.tensor([-2.0, 1.0, 5.0])


fit.steps = 4


def test_a_local_step_goes_against_the_client_s_drift():
    grad = torch.tensor([1.0, 1.0])
    Scaffold().correct(grad, None, None, SENT, SimpleNamespace(state={"c": torch.tensor([2.0, 0.25])}))
    assert grad.tolist() == [1.0 + 0.5 - 2.0, 1.0 - 1.0 - 0.25]
    grad = torch.tensor([1.0, 1.0])
    Scaffold().correct(grad, None, None, SENT, SimpleNamespace(state={}))
    assert grad.tolist() == [1.5, 0.0]


@pytest.mark.parametrize("own", [[0.0, 0.0], [2.0, 0.25]])
def test_the_new_control_variate_is_the_mean_gradient_of_option_ii(own):
    client = SimpleNamespace(state={"c": torch.tensor(own)} if any(own) else {}, lr=0.25)
    upload = Scaffold().local(fit, SENT, client)
    drift = [2.0 / (4 * 0.25), -1.0 / (4 * 0.25)]
    assert client.state["c"].tolist() == [own[0] - 0.5 + drift[0], own[1] + 1.0 + drift[1]]
    assert upload["c"].tolist() == [drift[0] - 0.5, drift[1] + 1.0]
    assert upload["w"].tolist() == [-1.0, -1.0, 8.0]


@pytest.mark.parametrize(
    ("sizes", "arrived"),
    [([1, 1, 1, 1], [(0, 0, 1)]), ([2, 6, 1, 7], [(2, 0, 1), (0, 0, 2), (3, 0, 1)])],
    ids=["equal clients: |S| / N", "n_S / n"],
)
def test_the_server_moves_its_control_variate_by_the_share_that_took_part(sizes, arrived):
    strategy = Scaffold()
    state = strategy.init(world(sizes, layout=LAYOUT))
    assert strategy.send(state, 0)["c"].tolist() == [0.0, 0.0]
    state = strategy.combine(state, cohort(arrived, means={"w": [3.0, 2.0, 1.0], "c": [4.0, -8.0]}))
    assert state["w"].tolist() == [3.0, 2.0, 1.0]
    assert state["c"].tolist() == [1.0, -2.0]


def test_where_everybody_trains_on_a_slice_everybody_took_part():
    strategy = Scaffold()
    state = strategy.init(world([10, 20], layout=LAYOUT, slices=5))
    taking_part = cohort([(0, 0, 2), (1, 0, 4)], means={"w": [3.0, 2.0, 1.0], "c": [4.0, -8.0]})
    assert strategy.combine(state, taking_part)["c"].tolist() == [4.0, -8.0]


def test_the_server_s_rate_is_how_far_it_goes_to_the_mean():
    strategy = Scaffold(eta_g=0.5)
    state = strategy.init(world([1], layout=LAYOUT))
    state = strategy.combine(state, cohort([(0, 0, 1)], means={"w": [3.0, 2.0, 1.0], "c": [0.0, 0.0]}))
    assert state["w"].tolist() == [2.0, 0.0, 1.0]  # what is not trained takes the mean


def test_at_a_rate_of_zero_nothing_is_learnt_of_the_gradient():
    client = SimpleNamespace(state={"c": torch.tensor([2.0, 0.25])}, lr=0.0)
    upload = Scaffold().local(fit, SENT, client)
    assert upload["c"].tolist() == [0.0, 0.0]
    assert client.state["c"].tolist() == [2.0, 0.25]
