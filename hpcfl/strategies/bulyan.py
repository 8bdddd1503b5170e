"""Bulyan (El Mhamdi et al. 2018, ICML): Krum chooses whom to trust, and a trimmed mean what of them.

    Krum, n - 2 f times over, each time without those it took, gives the chosen
    w'_i = mean of the n - 4 f numbers w_k,i of the chosen that lie nearest to their median

f of the n clients of a step may be Byzantine, where n >= 4 f + 3. Every client counts alike, whatever its samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.fedmedian import median
from hpcfl.strategies.gathered import columnwise, distances, require, scores


@dataclass(frozen=True)
class Bulyan(FedAvg):
    """A Byzantine client that looks like the others in all but a few coordinates is caught in these too."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    byzantine: Annotated[int, Ge(0)] = 0
    """f, the clients of a step that may be Byzantine; a step needs 4 f + 3 clients, or with 0 any number."""

    def init(self, world: World) -> State:
        require(world.clients, self.byzantine, 4, "in all")
        return {"w": world.initial}

    def combine(self, state: State, updates: Cohort) -> State:
        require(len(updates), self.byzantine, 4, f"in step {updates.step}")
        models = updates.every("w")
        chosen = self.chosen(distances(models))
        return {**state, "w": columnwise([models[row] for row in chosen], self.middle)}

    def chosen(self, apart: Tensor) -> list[int]:
        """The n - 2 f rows that Krum takes one after the other."""
        left = list(range(len(apart)))
        taken = []
        while len(taken) < len(apart) - 2 * self.byzantine:
            best = scores(apart[left][:, left], self.byzantine).sort(stable=True).indices[0]
            taken.append(left.pop(int(best)))
        return sorted(taken)

    def middle(self, rows: Tensor) -> Tensor:
        """(P,) of rows (n - 2 f, P): the mean of those nearest to the median."""
        if not self.byzantine:
            return rows.mean(0)
        off = (rows - median(rows)).abs()
        near = off.topk(len(rows) - 2 * self.byzantine, dim=0, largest=False).indices
        return rows.gather(0, near).mean(0)
