"""FedMedian, the coordinate-wise median (Yin et al. 2018, ICML): up to half of the clients cannot move it far.

    w'_i = median_k w_k,i;   of an even number of clients the mean of the middle two

Every client counts alike, whatever its samples; with one or two clients it is their plain mean.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hpcfl.core import Cohort
from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.gathered import columnwise


@dataclass(frozen=True)
class FedMedian(FedAvg):
    """FedAvg whose server takes the median of the clients' models instead of their mean."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    def combine(self, state: State, updates: Cohort) -> State:
        return {**state, "w": columnwise(updates.every("w"), median)}


def median(rows: Tensor) -> Tensor:
    """(P,) of rows (n, P)."""
    middle = len(rows) // 2
    ordered = rows.sort(0).values
    return ordered[middle] if len(rows) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
