"""FedAvg+ (Jiang et al. 2019, arXiv): FedAvg, whose model every client tunes to its own data before using it.

    w_k = w after some local epochs of client k; nothing of it comes back to the server

With another algorithm, as in "fedavgplus+fedprox", it is that one's model that is tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedAvgPlus(FedAvg):
    """Clients are evaluated with a copy of the global model that they have tuned."""

    tune_epochs: Annotated[int, Ge(0)] | None = None
    """Local epochs of tuning, by default as many as a job has; 0 leaves the global model as it is."""

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return fit(sent["w"], epochs=self.tune_epochs)
