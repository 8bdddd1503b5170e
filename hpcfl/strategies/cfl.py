"""Clustered FL, CFL (Sattler et al. 2020, IEEE TNNLS): clients whose updates pull apart get models of their own.

    FedAvg inside each cluster; it is split in two when |mean d_k| < tol_1 while max |d_k| > tol_2,   d_k = w_k - w

The mean stands still there, but some client does not: its data disagrees. The halves are those of complete linkage on
the cosine distance of the d_k, as in the authors' code. All clients of a cluster must have taken part in the step that
splits it. The server keeps a model per cluster, and holds all of a step's uploads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import normalize

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State, mixture


@dataclass(frozen=True)
class CFL(FedAvg):
    """A model per cluster of clients, one at first. The server's own is their mean, weighted by samples."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    tol_1: Annotated[float, Ge(0)] = 0.4
    """A cluster is only split when the mean update is shorter than this; 0 never splits. The paper's choice."""
    tol_2: Annotated[float, Ge(0)] = 1.6
    """And when the longest of its updates is longer than this; the paper's choice."""

    def init(self, world: World) -> State:
        clusters = torch.zeros(world.clients, dtype=torch.int64)
        examples = torch.from_numpy(world.counts.sum(1)).double()
        trained = torch.tensor(world.layout.trainable)
        return {"w": world.initial, "model 0": world.initial, "of": clusters, "examples": examples, "trained": trained}

    def send(self, state: State, client: int) -> State:
        return {"w": state[f"model {state['of'][client]}"]}

    def combine(self, state: State, updates: Cohort) -> State:
        models, clients = updates.every("w"), [update.job.client for update in updates]
        state, of, trained = dict(state), state["of"].clone(), int(state["trained"])
        for number in range(int(of.max()) + 1):
            rows = [row for row, client in enumerate(clients) if of[client] == number]
            parts = [rows]
            if len(rows) == (of == number).sum():
                changes = torch.stack([models[row][:trained] for row in rows]) - state[f"model {number}"][:trained]
                parts = self.split(rows, changes, state["examples"][[clients[row] for row in rows]])
            for part, into in zip(parts, (number, int(of.max()) + 1)):
                if part:
                    members = [clients[row] for row in part]
                    of[members] = into
                    state[f"model {into}"] = mean([models[row] for row in part], state["examples"][members])
        sizes = torch.zeros(int(of.max()) + 1, dtype=torch.float64).index_add_(0, of, state["examples"])
        return {**state, "of": of, "w": mean([state[f"model {number}"] for number in range(len(sizes))], sizes)}

    def split(self, rows: list[int], changes: Tensor, examples: Tensor) -> list[list[int]]:
        """The cluster's rows, in two parts if its clients' changes (rows, trained) say so."""
        together = mean(changes, examples).norm()
        if len(rows) == 1 or together >= self.tol_1 or changes.norm(dim=1).max() <= self.tol_2:
            return [rows]
        from sklearn.cluster import AgglomerativeClustering  # takes a second to import, and only a split needs it

        directions = normalize(changes.double(), dim=1)
        distances = (1 - directions @ directions.T).clamp(min=0).cpu().numpy()
        halves = AgglomerativeClustering(2, metric="precomputed", linkage="complete").fit_predict(distances)
        return [[row for row, half in zip(rows, halves) if (half == halves[0]) == stays] for stays in (True, False)]


def mean(vectors: Sequence[Tensor], examples: Tensor) -> Tensor:
    """(P,) mean of the vectors, weighted by samples."""
    return mixture((examples / examples.sum()).tolist(), vectors)
