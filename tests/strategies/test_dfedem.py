"""D-FedEM: who mixes with whom, and that nobody's weight is lost."""

from itertools import pairwise

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.strategies import DFedEM
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


def test_learners_are_mixed_with_those_of_the_neighbours_that_are_there():
    strategy = DFedEM(n_learners=2, topology="ring")
    state = strategy.init(world([1, 3, 2, 2], draw=lambda number: W + number))
    assert strategy.send(state, 2)["w"].tolist() == [W.tolist(), (W + 1).tolist()]
    models = [[[float(client), 0.0, 0.0], [0.0, 0.0, 9.0]] for client in (0, 1, 3)]
    pis = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
    after = strategy.combine(state, cohort([(0, 0, 1), (1, 0, 3), (3, 0, 2)], w=models, pi=pis))
    # 2 is away: 0 has both neighbours, 1 and 3 have only 0, and W has thirds between 0 and them
    own = [strategy.send(after, client)["w"][0, 0].item() for client in range(4)]
    assert own == pytest.approx([(0 + 1 + 3) / 3, (0 + 2 * 1) / 3, 1.0, (0 + 2 * 3) / 3])
    assert after["pi"].tolist() == [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]
    assert after["w"][0, 0].item() == pytest.approx((own[0] + 3 * own[1] + 2 * own[2] + 2 * own[3]) / 8)
    assert strategy.send(after, 4)["w"] is after["w"]  # a newcomer
