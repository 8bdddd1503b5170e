"""FedAvgM (Hsu et al. 2019): FedAvg with momentum on the server, against non-IID clients that pull to and fro.

v' = beta v + (mean(w_k) - w);   w' = w + lr v'
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from hpcfl.strategies.fedavg import State
from hpcfl.strategies.serverstep import ServerStep


@dataclass(frozen=True)
class FedAvgM(ServerStep):
    """Old changes fade, and go on counting; beta = 0 is FedAvg."""

    lr: Annotated[float, Gt(0)] = 1.0
    """Learning rate of the server; the paper's choice."""
    beta: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Momentum; the paper tries 0 to 0.997."""

    def memory(self, w: Tensor) -> State:
        return {"v": torch.zeros_like(w)}

    def step(self, change: Tensor, state: State) -> tuple[Tensor, State]:
        v = self.beta * state["v"] + change
        return self.lr * v, {"v": v}
