"""q-FFL by q-FedAvg (Li et al. 2020, ICLR): clients with a large loss count more, the more the larger q.

    d_k = (w - w_k) / lr;   w' = w - sum n_k L_k^q d_k / sum n_k (q L_k^(q-1) |d_k|^2 + L_k^q / lr)

L_k is the loss of w on client k's samples, as it arrives. The paper draws clients by n_k and weighs those drawn alike;
here all have the same chance, and n_k is a weight. What is not trained (running statistics) takes the plain mean.
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

LEAST = 1e-10
"""Stands for a loss of 0, of which no negative power can be taken; as in the authors' code."""


@dataclass(frozen=True)
class QFFL(FedAvg):
    """One global model, more evenly good for all."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "h": "examples"}

    q: Annotated[float, Ge(0)] = 1.0
    """How much fairness counts; 0 is FedAvg. The paper tunes it from 0.001 to 5."""

    def init(self, world: World) -> State:
        return {"w": world.initial, "trained": torch.tensor(world.layout.trainable)}

    def send(self, state: State, client: int) -> State:
        return {"w": state["w"]}

    def combine(self, state: State, updates: Cohort) -> State:
        change, trained = updates.mean("w").clone(), int(state["trained"])
        change[:trained] /= updates.mean("h")
        return {**state, "w": state["w"] + change}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        trained, loss = client.layout.trainable, max(LEAST, fit.risk(sent["w"]))
        change = fit(sent["w"]) - sent["w"]
        far = change[:trained].double().square().sum().item() / client.lr if client.lr else 0.0  # lr |d_k|^2
        change[:trained] *= loss**self.q
        return {"w": change, "h": torch.tensor(loss**self.q + self.q * loss ** (self.q - 1) * far)}

    def base(self, sent: State, client: Client) -> Tensor:
        return torch.zeros_like(sent["w"])
