"""FedAdam, FedYogi and FedAdagrad (Reddi et al. 2021, ICLR): the server steps like an adaptive optimizer.

    D = mean(w_k) - w;   m' = beta_1 m + (1 - beta_1) D;   w' = w + lr m' / (sqrt(v') + tau)

    FedAdam: v' = beta_2 v + (1 - beta_2) D^2
    FedYogi: v' = v - (1 - beta_2) D^2 sign(v - D^2)
    FedAdagrad: v' = v + D^2

m begins as 0 and v as tau^2; as in the paper there is no bias correction. For any torch.optim class see `fedopt`.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from hpcfl.strategies.fedavg import State
from hpcfl.strategies.serverstep import ServerStep


@dataclass(frozen=True)
class FedAdam(ServerStep):
    """Every parameter has a rate of its own, by how much it has changed lately."""

    lr: Annotated[float, Gt(0)] = 0.01
    """Learning rate of the server; the paper tunes it from 0.001 to 10."""
    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """How much of the last mean change stays in the next; the paper's choice."""
    beta_2: Annotated[float, Ge(0), Lt(1)] = 0.99
    """The same for its square; the paper's choice."""
    adaptivity: Annotated[float, Gt(0)] = 1e-3
    """tau, which bounds the rates: the smaller, the more adaptive. The paper's choice."""

    def memory(self, w: Tensor) -> State:
        return {"m": torch.zeros_like(w), "v": torch.full_like(w, self.adaptivity**2)}

    def step(self, change: Tensor, state: State) -> tuple[Tensor, State]:
        m = torch.lerp(change, state["m"], self.beta_1)
        v = self.second(change.square(), state["v"])
        return self.lr * m / (v.sqrt() + self.adaptivity), {"m": m, "v": v}

    def second(self, square: Tensor, v: Tensor) -> Tensor:
        """v', from D^2 and v."""
        return torch.lerp(square, v, self.beta_2)


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """FedAdam whose v changes by no more than D^2: a sudden small change does not make the rate leap."""

    def second(self, square: Tensor, v: Tensor) -> Tensor:
        return v - (1 - self.beta_2) * square * torch.sign(v - square)


@dataclass(frozen=True)
class FedAdagrad(FedAdam):
    """FedAdam whose v only grows; beta_2 has no part in it."""

    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.0
    """As in FedAdam; the paper takes 0 here."""

    def second(self, square: Tensor, v: Tensor) -> Tensor:
        return v + square
