"""Who knows whom where there is no server: graphs over the clients, and how neighbours' models are weighed."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from hpcfl.rng import stream

__all__ = ["TOPOLOGIES", "edges", "metropolis"]

TOPOLOGIES = ("complete", "ring", "erdos_renyi")


@lru_cache(maxsize=1)
def edges(topology: str, clients: int, p: float, seed: int) -> Tensor:
    """(N, N) bool, symmetric, nobody with itself: everybody with everybody, the next in the row (the last with the
    first), or each pair with probability `p` (Erdos and Renyi 1959), drawn again until no client is out of reach.

    After 100 draws that leave some, a ring is laid through the last one.
    """
    ring = torch.eye(clients, dtype=torch.bool).roll(1, 1)
    ring = (ring | ring.T).fill_diagonal_(False)
    if topology == "complete":
        return torch.ones_like(ring).fill_diagonal_(False)
    if topology == "ring":
        return ring
    rng = stream(seed, "graph")
    for _ in range(100):
        upper = torch.from_numpy(rng.random((clients, clients)) < p).triu(1)
        if connected(upper | upper.T):
            return upper | upper.T
    return upper | upper.T | ring


def connected(graph: Tensor) -> bool:
    """Whether everybody can be reached from the first client."""
    reached = torch.zeros(len(graph), dtype=torch.bool)
    reached[0], before = True, 0
    while before < (before := int(reached.sum())):
        reached |= graph[reached].any(0)
    return before == len(graph)


def metropolis(graph: Tensor) -> Tensor:
    """(N, N) float64, symmetric and doubly stochastic (Xiao and Boyd 2004): W_ij = 1 / (1 + max(d_i, d_j)) for
    neighbours of degrees d, and what is left of a row on the diagonal."""
    degree = graph.sum(1)
    weights = torch.where(graph, 1.0 / (1 + torch.maximum(degree[:, None], degree)).double(), 0.0)
    return weights + torch.diag(1 - weights.sum(1))
