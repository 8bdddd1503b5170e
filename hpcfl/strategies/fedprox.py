"""FedProx (Li et al. 2020, MLSys): a proximal term keeps local training near the model it started from.

    local gradient + mu (w_local - w);   mu = 0 is FedAvg

Its stragglers, which do part of the work, are a setting of the clients: `client.epochs = [1, 5]`.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg with a proximal pull towards the global model."""

    mu: Annotated[float, Ge(0)] = 0.01
    """Strength of the pull; the paper tunes it from 0.001, 0.01, 0.1, 1."""

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: dict[str, Tensor], client: object) -> None:
        grad.add_(w, alpha=self.mu).sub_(start, alpha=self.mu)
