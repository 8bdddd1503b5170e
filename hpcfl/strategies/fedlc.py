"""FedLC (Zhang et al. 2022, ICML): logits are calibrated by how often the client sees their class.

    softmax cross-entropy on logit_c - tau n_(k,c)^(-1/4)

A class that the client has no sample of leaves the denominator: training does not push its logit down. Any other
`client.loss` gets the same logits, minus infinity for such a class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg

if TYPE_CHECKING:
    from hpcfl.training import Client


@dataclass(frozen=True)
class FedLC(FedAvg):
    """Every client has a loss of its own; with tau = 0 and samples of all classes it is FedAvg."""

    tau: Annotated[float, Ge(0)] = 1.0
    """Strength of the calibration; the paper tunes it per dataset, around 1."""

    def loss(self, logits: Tensor, labels: Tensor, client: Client) -> Tensor:
        counts = client.counts
        margins = torch.where(counts > 0, self.tau * counts.clamp(min=1) ** -0.25, math.inf)
        return client.loss(logits - margins, labels)
