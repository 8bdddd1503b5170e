"""D-FedEM and decentralised FedAvg: who mixes with whom, and that nobody's weight is lost."""

from itertools import pairwise

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.strategies import DFedAvg, DFedEM
from hpcfl.strategies.graphs import TOPOLOGIES, connected, edges, metropolis


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("clients", [1, 2, 3, 7, 20])
def test_graphs_are_symmetric_connected_and_their_weights_doubly_stochastic(topology, clients):
    graph = edges(topology, clients, 0.3, seed=1)
    assert torch.equal(graph, graph.T)
    assert not graph.diagonal().any()
    assert connected(graph)
    weights = metropolis(graph)
    assert torch.equal(weights, weights.T)
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(1), torch.ones(clients).double())


def test_a_ring_and_a_complete_graph():
    assert edges("ring", 5, 0.5, 0).sum(1).tolist() == [2] * 5
    assert all(edges("ring", 5, 0.5, 0)[a, b] for a, b in pairwise([0, 1, 2, 3, 4, 0]))
    assert edges("complete", 4, 0.5, 0).sum(1).tolist() == [3] * 4
    assert torch.allclose(metropolis(edges("complete", 4, 0.5, 0)), torch.full((4, 4), 0.25).double())


def test_a_random_graph_follows_the_seed():
    first = edges("erdos_renyi", 20, 0.3, 0)
    assert torch.equal(first, edges("erdos_renyi", 20, 0.3, 0))
    assert not torch.equal(first, edges("erdos_renyi", 20, 0.3, 1))


def test_so_few_edges_that_a_ring_is_laid():
    assert connected(edges("erdos_renyi", 30, 1e-9, 0))


def test_those_who_are_there_mix_by_the_weights_of_the_graph_among_them():
    # 2 is away: 0 has both neighbours, 1 and 3 have only 0, and W has thirds between 0 and them
    weights = DFedAvg(topology="ring").mixing(world([1, 3, 2, 2]), [0, 1, 3])
    third = 1 / 3
    assert weights.tolist() == [
        pytest.approx(row) for row in ([third, third, third], [third, 2 * third, 0], [third, 0, 2 * third])
    ]


def test_the_server_has_the_mean_alone_and_sends_it_to_newcomers_only():
    strategy = DFedEM(n_learners=2, topology="ring")
    state = strategy.init(world([1, 3, 2, 2], draw=lambda number: W + number))
    assert state["w"].tolist() == [W.tolist(), (W + 1).tolist()]
    assert [strategy.send(state, client) for client in range(4)] == [{}] * 4
    pis = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
    mean = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    after = strategy.combine(state, cohort([(0, 0, 1), (1, 0, 3), (3, 0, 2)], mean=mean, pi=pis))
    assert strategy.send(after, 3) == {}
    assert strategy.send(after, 4)["w"] is after["w"]
    assert after["w"].tolist() == mean
    assert after["pi"].tolist() == [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]
    assert sum(tensor.numel() for tensor in after.values()) == 2 * 3 + 4 * 2 + 4 * 4  # no client's learners
