"""Krum and MultiKrum (Blanchard et al. 2017, NeurIPS): models that lie near the most others are to be trusted.

    score_k = sum of |w_k - w_j|^2 over the n - f - 2 nearest j;   Krum: w' = the w_k of the lowest score
    MultiKrum: w' = sum n_k w_k / sum n_k over the m lowest scores

f of the n clients of a step may be Byzantine, where n >= 2 f + 3 as the paper's proof needs. What a client holds is
known to the server, so that samples can weigh in: no client can lie about them. Ties go to the lower client id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.errors import JobError
from hpcfl.strategies.fedavg import FedAvg, State, mixture
from hpcfl.strategies.gathered import distances, require, scores


@dataclass(frozen=True)
class Krum(FedAvg):
    """The server takes the model of one client, the one that its neighbours resemble most."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    byzantine: Annotated[int, Ge(0)] = 0
    """f, the clients of a step that may be Byzantine; a step needs 2 f + 3 clients, or with 0 any number."""

    def init(self, world: World) -> State:
        require(world.clients, self.byzantine, 2, "in all")
        return {"w": world.initial}

    def combine(self, state: State, updates: Cohort) -> State:
        require(len(updates), self.byzantine, 2, f"in step {updates.step}")
        models = updates.every("w")
        best = scores(distances(models), self.byzantine).sort(stable=True).indices.tolist()
        return {**state, "w": self.choose(models, best, [update.job.examples for update in updates])}

    def choose(self, models: Sequence[Tensor], best: list[int], examples: list[int]) -> Tensor:
        """(P,) what the server makes of the models, of which `best` has the rows by their scores.

        A copy: the others need not stay.
        """
        return models[best[0]].clone()


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The server averages the models of several clients, weighted by samples."""

    keep: Annotated[int, Ge(0)] = 0
    """m, how many are averaged; 0 takes all but f. With 1 it is Krum, with all of them FedAvg."""

    def choose(self, models: Sequence[Tensor], best: list[int], examples: list[int]) -> Tensor:
        if self.keep > len(best):
            raise JobError(f"strategy.keep = {self.keep}: more than the {len(best)} clients of a step")
        kept = sorted(best[: self.keep or len(best) - self.byzantine])
        whole = sum(examples[row] for row in kept)
        return mixture([examples[row] / whole for row in kept], [models[row] for row in kept])
