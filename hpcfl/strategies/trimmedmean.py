"""TrimmedMean, the coordinate-wise trimmed mean (Yin et al. 2018, ICML): extremes are left out before averaging.

    w'_i = mean of w_k,i without the floor(beta n) smallest and the floor(beta n) largest of n clients' numbers

Every client counts alike, whatever its samples. It resists a share of up to beta of the clients.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt
from torch import Tensor

from hpcfl.core import Cohort
from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.gathered import columnwise


@dataclass(frozen=True)
class TrimmedMean(FedAvg):
    """FedAvg whose server leaves out the lowest and the highest numbers of every coordinate."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    beta: Annotated[float, Ge(0), Lt(0.5)] = 0.2
    """Share of the clients that is left out at either end; at least the share of those to resist."""

    def combine(self, state: State, updates: Cohort) -> State:
        return {**state, "w": columnwise(updates.every("w"), self.trimmed)}

    def trimmed(self, rows: Tensor) -> Tensor:
        """(P,) of rows (n, P)."""
        cut = int(self.beta * len(rows))
        return (rows.sort(0).values[cut : len(rows) - cut] if cut else rows).mean(0)
