"""FedBuff (Nguyen et al. 2022, AISTATS): a buffer of M updates makes a step, and a stale one counts less.

    w' = w + eta_g (1/M) sum (w_k - w_(v_k)) / sqrt(1 + staleness)

Every client counts alike, whatever its samples. M is the schedule's `num_generator`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt

from hpcfl.core import Cohort
from hpcfl.strategies.fedavg import FedAvg, State, mixture

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedBuff(FedAvg):
    """Clients upload what they changed; the server adds the mean change of a buffer."""

    uploads: ClassVar[dict[str, str]] = {"change": "each"}

    eta_g: Annotated[float, Gt(0)] = 1.0
    """Learning rate of the server, tuned in the paper; 1 takes the mean change as it is."""

    def combine(self, state: State, updates: Cohort) -> State:
        discounts = [1 / math.sqrt(1 + update.staleness) for update in updates]
        change = mixture(discounts, updates.every("change"))
        return {"w": torch.add(state["w"], change, alpha=self.eta_g / len(updates))}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        return {"change": fit(sent["w"]) - sent["w"]}
