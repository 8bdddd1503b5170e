"""Decentralised FedAvg (Sun et al. 2023, TPAMI): no server, clients average with their neighbours in a graph.

    w_k' = sum_j W_kj w_j, over client k itself and its neighbours, each after its local epochs

D-PSGD (Lian et al. 2017, NeurIPS) is the same with one local step, but for the step itself, which it does not mix. W
is doubly stochastic, by Metropolis weights of the graph among those who are there in a round; who is not keeps its
model. Models go from client rank to client rank; rank 0 gets their mean alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.graphs import edges, metropolis

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class DFedAvg(FedAvg):
    """`state["w"]`, the mean of all clients' models by their samples, is evaluated and sent to newcomers alone."""

    uploads: ClassVar[dict[str, str]] = {"w": "neighbours"}
    private: ClassVar[bool] = True

    topology: Literal["complete", "ring", "erdos_renyi"] = "erdos_renyi"
    """Graph of the clients."""
    p: Annotated[float, Gt(0), Le(1)] = 0.5
    """Probability of each edge in an Erdos-Renyi graph, which is drawn from the job's seed."""

    def init(self, world: World) -> State:
        return {**super().init(world), "edges": edges(self.topology, world.clients, self.p, world.seed)}

    def mixing(self, world: World, there: Sequence[int]) -> Tensor:
        graph = edges(self.topology, world.clients, self.p, world.seed)
        return metropolis(graph[there][:, there])

    def send(self, state: State, client: int) -> State:
        return {} if client < len(state["edges"]) else {"w": state["w"]}

    def combine(self, state: State, updates: Cohort) -> State:
        return {**state, **super().combine(state, updates)}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        return super().local(fit, client.state, client)

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return super().personal(fit, sent or client.state, client)
