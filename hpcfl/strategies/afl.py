"""AFL, agnostic federated learning (Mohri et al. 2019, ICML): a model for the worst mixture of the clients.

    w' = sum lam_k w_k / sum lam_k;   lam' = projection of (lam_k + eta L_k) on the simplex

L_k is the loss of w on client k's samples, as it arrives. At first lam_k = n_k / n, as in FedAvg. With a part of the
clients per step, both sums and the ascent are over that part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class AFL(FedAvg):
    """One global model; clients on which it is bad gain weight, until it is as good there as elsewhere."""

    uploads: ClassVar[dict[str, str]] = {"w": "clients", "loss": "each"}

    eta: Annotated[float, Ge(0)] = 0.1
    """Rate of the ascent of lam; 0 leaves it as it is. The paper tunes it like a learning rate."""

    def init(self, world: World) -> State:
        examples = torch.from_numpy(world.counts.sum(1)).double()
        return {"w": world.initial, "lam": examples / examples.sum()}

    def send(self, state: State, client: int) -> State:
        return {"w": state["w"], "lam": state["lam"]}

    def combine(self, state: State, updates: Cohort) -> State:
        lam, clients = state["lam"].clone(), [update.job.client for update in updates]
        mass = lam[clients].mean().item() * len(lam)
        lam[clients] += self.eta * updates.gather("loss").to(lam)
        return {"w": updates.mean("w") / mass if mass else state["w"], "lam": project(lam)}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        loss = fit.risk(sent["w"])
        return {"w": fit(sent["w"]) * share(sent, client), "loss": torch.tensor(loss)}

    def base(self, sent: State, client: Client) -> Tensor:
        return sent["w"] * share(sent, client)


def share(sent: State, client: Client) -> float:
    """lam_k, of the size of 1: the exact sums would round small numbers off."""
    return sent["lam"][client.id].item() * len(sent["lam"])


def project(point: Tensor) -> Tensor:
    """(n,) the nearest point, of entries not below 0 that sum to 1 (Duchi et al. 2008, ICML)."""
    ordered = point.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1, device=point.device)
    return (point - excess[ordered > excess][-1]).clamp(min=0)
