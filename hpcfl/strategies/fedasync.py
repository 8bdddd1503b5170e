"""FedAsync (Xie et al. 2019, OPT): the server mixes in each update as it arrives, the less the staler it is.

    w' = (1 - a_t) w + a_t w_k,   a_t = alpha r s(staleness)

    constant: s = 1;   polynomial: s = (staleness + 1)^-a
    hinge: s = 1 up to staleness b, then 1 / (a (staleness - b) + 1)

The formula holds for each update that arrives; a step that combines several applies it to one after the other.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le

from hpcfl.core import Cohort
from hpcfl.errors import JobError
from hpcfl.strategies.fedavg import FedAvg, State


@dataclass(frozen=True)
class FedAsync(FedAvg):
    """A running mixture of the clients' models."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    alpha: Annotated[float, Gt(0), Le(1)] = 0.6
    """Share of a fresh update in the new model; the paper tries 0.6 and 0.9."""
    r: Annotated[float, Gt(0)] = 1.0
    """Multiplier of alpha (Async-FL's name); alpha r must not exceed 1. Default: the paper has none."""
    staleness: Literal["constant", "hinge", "polynomial"] = "polynomial"
    """How the share falls with staleness; the paper compares the three."""
    a: Annotated[float, Ge(0)] | None = None
    """How fast it falls; by default the paper's choice, 10 for hinge and 0.5 for polynomial."""
    b: Annotated[float, Ge(0)] = 4.0
    """hinge: the staleness up to which an update counts in full; the paper's choice."""

    def __post_init__(self) -> None:
        if self.alpha * self.r > 1:
            raise JobError(f"strategy: alpha r = {self.alpha * self.r:g}: a share must not exceed 1; make r smaller")

    def combine(self, state: State, updates: Cohort) -> State:
        w = state["w"]
        for update, theirs in zip(updates, updates.every("w")):
            w = torch.lerp(w, theirs, self.share(update.staleness))
        return {"w": w}

    def share(self, staleness: int) -> float:
        """a_t: what an update of this staleness counts in the new model."""
        return self.alpha * self.r * self.discount(staleness)

    def discount(self, staleness: int) -> float:
        """s(staleness), which is 1 for a fresh update."""
        if self.staleness == "polynomial":
            return (staleness + 1) ** -(0.5 if self.a is None else self.a)
        if self.staleness == "constant" or staleness <= self.b:
            return 1.0
        return 1 / ((10.0 if self.a is None else self.a) * (staleness - self.b) + 1)
