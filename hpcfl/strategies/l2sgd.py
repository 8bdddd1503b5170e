"""L2SGD (L2GD of Hanzely and Richtarik 2020, arXiv): local models, pulled to their mean now and then.

    with probability p, the same for all clients:   x_k' = x_k - a (x_k - mean(x)),   a = lr lam (1 - p) / p
    else:                                           x_k' = x_k after local training

It minimises mean f_k(x_k) + lam/2 mean |x_k - mean(x)|^2. `client.lr` is the paper's eta / (n (1 - p)), and a its
eta lam / (n p). A server step is one of the two; in the paper local training is a single gradient step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from hpcfl.rng import stream
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class L2SGD(FedAvg):
    """Every client has a model of its own; the server's is their mean. All clients should take part."""

    uploads: ClassVar[dict[str, str]] = {"w": "clients"}
    private: ClassVar[bool] = True

    p: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Probability that a server step mixes instead of training; the paper's best is near lam / (lam + L)."""
    lam: Annotated[float, Ge(0)] = 10.0
    """How strongly models are held together; clients never go beyond the mean."""

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        own = client.state.get("own", sent["w"])
        if stream(client.seed, "l2sgd", client.version).random() < self.p:
            w = torch.lerp(own, sent["w"], min(1.0, client.lr * self.lam * (1 - self.p) / self.p))
        else:
            w = fit(own)
        client.state["own"] = w
        return {"w": w}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return client.state.get("own", sent["w"])
