"""APFL (Deng et al. 2020, arXiv): a client uses a mixture of the global model and one of its own.

    u_k = alpha v_k + (1 - alpha) w;   v_k' = v_k - lr alpha grad f_k(u_k);   w' = mean(w_k)
    alpha' = alpha - lr <v_k - w, grad f_k(u_k)>, once per job, with the job's mean gradient

A job trains w_k as in FedAvg and then v_k around the w that was sent; in the paper both move in every step, and w_k
stands for w. The mean gradient is told from how far u_k went, which supposes plain SGD. What is not trained (running
statistics) is not mixed: u_k has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit

LEAST = 0.05
"""How small alpha can be learned: with 0, v_k would learn nothing any more."""


@dataclass(frozen=True)
class APFL(FedAvg):
    """The server's model is FedAvg's, whatever the setting; a job trains twice, for the client's own as well."""

    private: ClassVar[bool] = True

    alpha: Annotated[float, Gt(0), Le(1)] = 0.5
    """Share of the client's own model in the mixture, at first; with 1 it never hears of the global one."""
    alpha_rate: Annotated[float, Ge(0)] = 0.0
    """Rate at which each client learns its alpha, in multiples of `client.lr`; 0 keeps alpha, 1 is the paper's."""

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        trained, w = client.layout.trainable, sent["w"]
        v, alpha = client.state.pop("v", w), client.state.pop("alpha", w.new_tensor(self.alpha))
        own, steps = fit(w), fit.steps
        client.state["alpha"] = alpha  # from here on the steps are those of the mixture
        before = mixed(w, v, alpha, trained)
        after = fit(before)
        moved = (after - before)[:trained]
        client.state["v"] = torch.cat([v[:trained] + moved / alpha, after[trained:]])
        if self.alpha_rate and fit.steps > steps:
            slope = -((v - w)[:trained].double() * moved).sum() / (alpha**2 * (fit.steps - steps))
            client.state["alpha"] = (alpha - self.alpha_rate * slope).float().clamp(LEAST, 1.0)
        return {"w": own}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        if "alpha" in client.state:
            grad.mul_(client.state["alpha"] ** 2)  # a step of v_k has alpha, and moves the mixture by alpha of it

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        alpha = client.state.get("alpha", self.alpha)
        return mixed(sent["w"], client.state.get("v", sent["w"]), alpha, client.layout.trainable)


def mixed(w: Tensor, v: Tensor, alpha: Tensor | float, trained: int) -> Tensor:
    """(P,) alpha v + (1 - alpha) w in what is trained, v in the rest."""
    return torch.cat([torch.lerp(w[:trained], v[:trained], alpha), v[trained:]])
