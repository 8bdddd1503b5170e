"""CFL on three numbers, two trained and one only averaged."""

import pytest
import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.strategies import CFL

SIZES = (1, 1, 2, 1)
CHANGES = torch.tensor([[2.0, 0.0, 1.0], [-2.0, 0.2, 2.0], [0.5, 0.0, 3.0], [-1.5, 0.0, 4.0]])
"""Clients 0 and 2 pull one way, 1 and 3 the other; by samples their mean is (-0.1, 0.04)."""


def start(strategy):
    return strategy.init(world(SIZES, layout=LAYOUT))


def step(strategy, state, changes, clients=range(4)):
    models = [(strategy.send(state, client)["w"] + change).tolist() for client, change in zip(clients, changes)]
    return strategy.combine(state, cohort([(client, 0, SIZES[client]) for client in clients], w=models))


def sent(strategy, state):
    return [strategy.send(state, client)["w"].tolist() for client in range(4)]


def test_clients_that_pull_apart_get_models_of_their_own():
    strategy = CFL()
    state = step(strategy, start(strategy), CHANGES)
    assert state["of"].tolist() == [0, 1, 0, 1]
    one, other = [1 + 3 / 3, -2.0, 3 + 7 / 3], [1 - 3.5 / 2, -2 + 0.1, 3 + 3.0]
    assert sent(strategy, state) == [pytest.approx(one), pytest.approx(other)] * 2
    assert strategy.send(state, 0)["w"] is strategy.send(state, 2)["w"]
    assert state["w"].tolist() == pytest.approx([0.6 * a + 0.4 * b for a, b in zip(one, other)])
    # and again inside a cluster, where now two directions meet; the other's mean goes on
    state = step(strategy, state, torch.tensor([[2.0, 0.0, 0.0], [3.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]))
    assert state["of"].tolist() == [0, 1, 2, 1]
    assert sent(strategy, state)[1] == pytest.approx([other[0] + 3, other[1], other[2]])


@pytest.mark.parametrize(
    "strategy", [CFL(tol_1=0.0), CFL(tol_1=0.1), CFL(tol_2=2.1)], ids=["never", "the mean moves", "all stand still"]
)
def test_otherwise_it_is_fedavg(strategy):
    state = step(strategy, start(strategy), CHANGES)
    assert state["of"].tolist() == [0, 0, 0, 0]
    mean = W + torch.tensor([-0.5 / 5, 0.2 / 5, 13 / 5])
    assert sent(strategy, state) == [pytest.approx(mean.tolist())] * 4
    assert state["w"].tolist() == pytest.approx(mean.tolist())


def test_a_cluster_is_not_split_while_a_member_is_missing():
    strategy = CFL()
    state = step(strategy, start(strategy), CHANGES[:2], clients=(0, 1))
    assert state["of"].tolist() == [0, 0, 0, 0]
    assert sent(strategy, state)[3] == pytest.approx([1.0, -1.9, 4.5])


def test_a_cluster_of_one_and_one_that_sits_out_stay():
    strategy = CFL()
    state = step(strategy, start(strategy), CHANGES)
    before = sent(strategy, state)
    state = step(strategy, state, CHANGES[[0, 2]], clients=(0, 2))
    assert sent(strategy, state)[1] == before[1]
    assert state["of"].tolist() == [0, 1, 0, 1]


def test_a_client_that_did_not_move_has_no_direction():
    strategy = CFL()
    state = step(strategy, start(strategy), torch.cat([CHANGES[:2], torch.zeros(2, 3)]))
    assert set(state["of"].tolist()) == {0, 1}
    assert state["of"][0] != state["of"][1]
