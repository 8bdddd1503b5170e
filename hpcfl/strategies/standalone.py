"""Standalone: the baseline without communication, against which federated training is measured (McMahan et al. 2017).

w_k = what client k made of its own last model; it starts from the initial one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.flat import Layout
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class Standalone(FedAvg):
    """Every client trains for itself. The server's model is their mean, only to be evaluated: nobody loads it."""

    private: ClassVar[bool] = True

    def groups(self, members: tuple[int, ...], architectures: int) -> list[tuple[int, ...]]:
        """Of clients with different architectures the server has nothing."""
        return []

    def travels(self, layout: Layout, version: int) -> float:
        return 0.0

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        client.state["w"] = w = fit(client.state["w"])
        return {"w": client.upload(w)}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return client.state["w"]
