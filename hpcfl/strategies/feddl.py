"""FedDL (Tu et al. 2021, SenSys): clients that resemble one another share layers, the deeper the fewer.

From the first layer down, inside each cluster of the layer above: D_ij = KL(softmax(l_i) || softmax(l_j)) over its
members' weights l of the layer; k-means on the rows of D makes `n_clusters` of the cluster, where it has that many
members; and the layer is averaged, weighted by samples, inside each. A client trains alpha own + (1 - alpha) delivered.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.rng import seed64
from hpcfl.strategies.fedavg import FedAvg, State, mixture
from hpcfl.strategies.layers import layers

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedDL(FedAvg):
    """Every client has a model of its own; the server's is their mean, and goes to whoever has not trained yet."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}
    private: ClassVar[bool] = True

    n_clusters: Annotated[int, Gt(0)] = 2
    """Clusters that k-means makes of one; with 1 everybody shares all layers."""
    alpha: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the client's own last model in the one that it trains; 0 takes the delivered one as it is."""

    def init(self, world: World) -> State:
        known = torch.zeros(world.clients, dtype=torch.bool)
        state = {"w": world.initial, "delivered": world.initial.repeat(world.clients, 1), "known": known}
        return {**state, "layers": layers(world.layout), "seed": torch.tensor(world.seed)}

    def send(self, state: State, client: int) -> State:
        return {"w": state["delivered"][client] if state["known"][client] else state["w"]}

    def combine(self, state: State, updates: Cohort) -> State:
        models, clients = updates.gather("w"), [update.job.client for update in updates]
        examples = [update.job.examples for update in updates]
        delivered, known = state["delivered"].clone(), state["known"].clone()
        known[clients] = True
        clusters = [list(range(len(models)))]
        for number, spans in enumerate(state["layers"].split(state["layers"][:, 0].bincount().tolist())):
            seed = seed64(int(state["seed"]), "feddl", updates.step, number) % 2**32
            weights = [models[:, begin:end] for _, begin, end, trained in spans.tolist() if trained]
            if weights:
                clusters = [part for cluster in clusters for part in self.split(torch.cat(weights, 1), cluster, seed)]
            for cluster in clusters:
                shares = [examples[row] / sum(examples[row] for row in cluster) for row in cluster]
                members = [clients[row] for row in cluster]
                for _, begin, end, _ in spans.tolist():
                    delivered[members, begin:end] = mixture(shares, models[cluster, begin:end])
        w = mixture([count / sum(examples) for count in examples], models)
        return {**state, "w": w, "delivered": delivered, "known": known}

    def split(self, weights: Tensor, cluster: list[int], seed: int) -> list[list[int]]:
        """The cluster (rows of `weights`) in parts that are alike in this layer."""
        if not 1 < self.n_clusters <= len(cluster):
            return [cluster]
        from sklearn.cluster import KMeans  # takes a second to import, and only this needs it

        logs = weights[cluster].double().log_softmax(1)
        features = (logs.exp() * logs).sum(1, keepdim=True) - logs.exp() @ logs.T
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer different rows than clusters: then there are fewer of these
            kinds = KMeans(self.n_clusters, n_init=10, random_state=seed).fit_predict(features.cpu().numpy())
        return [[row for row, kind in zip(cluster, kinds) if kind == found] for found in sorted(set(kinds))]

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        client.state["own"] = w = fit(self.personal(fit, sent, client))
        return {"w": w}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return torch.lerp(sent["w"], client.state.get("own", sent["w"]), self.alpha)
