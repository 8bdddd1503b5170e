"""D-FedEM (Marfoq et al. 2021, NeurIPS): FedEM without a server, among neighbours in a graph.

    w_km' = sum_j W_kj w_jm, over client k itself and its neighbours; E- and M-steps as in FedEM

W is doubly stochastic, by Metropolis weights of the graph among those who are there in a step; who is not keeps its
learners. The mixing is done where all models meet, on rank 0, in the order of the clients: so the ranks send it each
client's learners and are sent as many back, whatever the graph. Of the simulated clients the file says that each sends
its K learners once, and receives as many: what goes over the edges is that times their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import State
from hpcfl.strategies.fedem import FedEM, told
from hpcfl.strategies.graphs import edges, metropolis


@dataclass(frozen=True)
class DFedEM(FedEM):
    """`state["w"]`, the mean of all clients' learners by their samples, is evaluated and sent to newcomers alone."""

    uploads: ClassVar[dict[str, str]] = {"w": "each", "pi": "each"}

    topology: Literal["complete", "ring", "erdos_renyi"] = "erdos_renyi"
    """Graph of the clients; the paper's experiments have Erdos-Renyi."""
    p: Annotated[float, Gt(0), Le(1)] = 0.5
    """Probability of each edge in an Erdos-Renyi graph, which is drawn from the job's seed; the paper's choice."""

    def init(self, world: World) -> State:
        state, clients = super().init(world), world.clients
        own = state["w"].expand(clients, *state["w"].shape).clone()
        shares = torch.from_numpy(world.counts.sum(1) / world.counts.sum())
        return {**state, "own": own, "shares": shares, "edges": edges(self.topology, clients, self.p, world.seed)}

    def send(self, state: State, client: int) -> State:
        return {"w": state["own"][client] if client < len(state["own"]) else state["w"]}

    def combine(self, state: State, updates: Cohort) -> State:
        there, own = [update.job.client for update in updates], state["own"].clone()
        own[there] = mixed(metropolis(state["edges"][there][:, there]), updates.gather("w")).to(own)
        w = mixed(state["shares"][None], own)[0].to(own)
        return {**state, "w": w, "own": own, "pi": told(state, updates)}


def mixed(weights: Tensor, models: Tensor) -> Tensor:
    """(n, ...) float64 the rows of `weights` times the models: one after the other, for the same bits everywhere."""
    total = models.new_zeros(len(weights), *models.shape[1:], dtype=torch.float64)
    for column, model in zip(weights.T.to(total), models):
        total += column.view(-1, *[1] * model.dim()) * model
    return total
