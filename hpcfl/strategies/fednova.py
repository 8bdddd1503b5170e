"""FedNova (Wang et al. 2020, NeurIPS): clients that made more local steps do not count more for it.

    d_k = (w_k - w) / tau_k;   w' = w + tau_eff sum p_k d_k,   p_k = n_k / sum n,   tau_eff = sum p_k tau_k

tau_k are the local steps of client k. What is not trained (running statistics) takes the plain mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedNova(FedAvg):
    """Clients upload their change per step; with equally many steps everywhere it is FedAvg."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "tau": "examples"}

    def init(self, world: World) -> State:
        return {"w": world.initial, "trained": torch.tensor(world.layout.trainable)}

    def combine(self, state: State, updates: Cohort) -> State:
        change, trained = updates.mean("w").clone(), int(state["trained"])
        change[:trained] *= updates.mean("tau")
        return {**state, "w": state["w"] + change}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        change = fit(sent["w"]) - sent["w"]
        change[: client.layout.trainable] /= fit.steps
        return {"w": change, "tau": torch.tensor(float(fit.steps))}

    def base(self, sent: State, client: Client) -> Tensor:
        return torch.zeros_like(sent["w"])
