"""pFedMe (Dinh et al. 2020, NeurIPS): a client's own model is the proximal point of its loss around the shared one.

    theta_k = argmin f_k(theta) + lam/2 |theta - w_k|^2;   w_k' = w_k - eta lam (w_k - theta_k), `local_rounds` times
    w' = (1 - beta) w + beta mean(w_k)

The argmin is approached by `client.epochs` epochs from w_k over the client's samples, each step's gradient with
lam (theta - w_k); the paper's inner problem is one batch's, with K steps on it. `client.lr` lam should stay below 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from hpcfl.errors import JobError
from hpcfl.strategies.fedavg import State
from hpcfl.strategies.serverstep import ServerStep

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class PFedMe(ServerStep):
    """The Moreau envelope of every client's loss is what the server minimises; theta_k stays at home."""

    private: ClassVar[bool] = True

    lam: Annotated[float, Gt(0)] = 15.0
    """How near theta_k stays to w_k; the paper's choice."""
    eta: Annotated[float, Gt(0)] = 0.05
    """Rate of w_k; eta lam, the share of the way to theta_k that it goes, must not exceed 1."""
    local_rounds: Annotated[int, Gt(0)] = 1
    """Moves of w_k in a job (R), each after `client.epochs` epochs; a vector of memory for each."""
    beta: Annotated[float, Ge(0)] = 1.0
    """How far the server goes to the mean, and with more than 1 beyond it; the paper tries 1 and 2."""

    def __post_init__(self) -> None:
        if self.eta * self.lam > 1:
            raise JobError(f"strategy: eta lam = {self.eta * self.lam:g}: must not exceed 1; make eta smaller")

    def step(self, change: Tensor, state: State) -> tuple[Tensor, State]:
        return change * self.beta, {}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        w = sent["w"]
        for _ in range(self.local_rounds):
            client.state["theta"] = theta = fit(w)
            w = torch.lerp(w, theta, self.eta * self.lam)
        return {"w": w}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        grad.add_(w, alpha=self.lam).sub_(start, alpha=self.lam)

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return client.state.get("theta", sent["w"])
