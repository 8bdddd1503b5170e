"""FedDL on three numbers, a layer each: clients that resemble one another share the deeper ones."""

from types import SimpleNamespace

import pytest
import torch
from cohorts import cohort, world

from hpcfl.flat import Entry, Layout
from hpcfl.strategies import FedDL

LAYOUT = Layout(
    (
        Entry("first.weight", (2,), 0, "parameter"),
        Entry("second.weight", (2,), 2, "parameter"),
        Entry("second.mean", (1,), 4, "buffer"),
    ),
    5,
    4,
)
MODELS = [
    [0.0, 0.0, 0.0, 3.0, 1.0],
    [0.0, 0.0, 0.0, 3.0, 3.0],
    [9.0, 0.0, 0.0, 0.0, 5.0],
    [9.0, 0.0, 0.0, 8.0, 7.0],
]
ARRIVED = [(client, 0, examples) for client, examples in enumerate((1, 3, 1, 1))]


def start(strategy, clients=6):
    return strategy.init(world([1] * clients, layout=LAYOUT, initial=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])))


def test_layers_are_averaged_inside_their_clusters():
    strategy = FedDL(n_clusters=2)
    state = strategy.combine(start(strategy), cohort(ARRIVED, w=MODELS))
    sent = [strategy.send(state, client)["w"].tolist() for client in range(6)]
    # the first layer makes {0, 1} and {2, 3} of all; in the second 2 and 3 part, and the equal 0 and 1 stay together
    assert sent[0] == sent[1] == [0.0, 0.0, 0.0, 3.0, 0.25 * 1 + 0.75 * 3]
    assert sent[2] == [9.0, 0.0, 0.0, 0.0, 5.0]
    assert sent[3] == [9.0, 0.0, 0.0, 8.0, 7.0]
    assert sent[4] == sent[5] == state["w"].tolist()
    assert state["w"].tolist() == pytest.approx([3.0, 0.0, 0.0, 20 / 6, 22 / 6])


def test_one_cluster_shares_everything():
    strategy = FedDL(n_clusters=1)
    state = strategy.combine(start(strategy), cohort(ARRIVED, w=MODELS))
    assert [strategy.send(state, client)["w"].tolist() for client in range(4)] == [state["w"].tolist()] * 4


def test_a_cluster_smaller_than_n_clusters_stays():
    strategy = FedDL(n_clusters=3)
    state = strategy.combine(start(strategy), cohort(ARRIVED[2:], w=MODELS[2:]))
    assert strategy.send(state, 2)["w"].tolist() == [9.0, 0.0, 0.0, 4.0, 6.0]
    assert strategy.send(state, 0)["w"].tolist() == state["w"].tolist()


def test_a_client_mixes_its_own_model_in():
    strategy, sent = FedDL(alpha=0.25), {"w": torch.tensor([4.0, 8.0, 0.0])}
    client = SimpleNamespace(state={})
    assert strategy.local(lambda w: w + 4, sent, client)["w"].tolist() == [8.0, 12.0, 4.0]
    assert strategy.personal(None, sent, client).tolist() == [5.0, 9.0, 1.0]
    assert client.state["own"].tolist() == [8.0, 12.0, 4.0]
