"""M-step AsyncFL (Wu and Wang 2022, ICDCS; Async-FL's StepAsyncAvg): a buffer weighted by deviation and frequency.

    w' = (1 - alpha) w + alpha sum f_k w_k,   f_k ~ n_k exp(-rho |lam_k / q_k|), sum f_k = 1

    lam_k = <w, w_k> / <w, w> - 1;   q_k = uploads of k / all uploads so far, those of this step counted

M, the size of the buffer, is the schedule's `num_generator`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State, mixture


@dataclass(frozen=True)
class StepAsync(FedAvg):
    """Models that point away from the server's, and clients that seldom upload, count less."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    alpha: Annotated[float, Gt(0), Le(1)] = 0.6
    """Share of the buffer's models in the new one; FedAsync's default, as the published code has none."""
    rho: Annotated[float, Ge(0)] = 2.0
    """How sharply the weights fall; 0 leaves the samples. The published code has no default: with 2 the weights of five
    models spread from about 0.1 to 0.3 early in jobs/stepasync.toml, and by a few hundredths late."""

    def init(self, world: World) -> State:
        return {"w": world.initial, "uploads": torch.zeros(world.clients, dtype=torch.int64)}

    def combine(self, state: State, updates: Cohort) -> State:
        clients = torch.tensor([update.job.client for update in updates])
        uploads = state["uploads"] + torch.bincount(clients, minlength=len(state["uploads"]))
        models = updates.every("w")
        frequency = uploads[clients].double() / uploads.sum()
        examples = torch.tensor([update.job.examples for update in updates], dtype=torch.float64)
        exponents = -self.rho * (self.deviation(state["w"], models) / frequency).abs()
        weights = torch.softmax(examples.log() + exponents, 0)  # normalised in the exponent: none underflows alone
        return {"w": torch.lerp(state["w"], mixture(weights.tolist(), models), self.alpha), "uploads": uploads}

    def deviation(self, w: Tensor, models: Sequence[Tensor]) -> Tensor:
        """(updates,) lam_k, 0 where the server's model is the zero vector. Summed in float64, by no BLAS."""
        wide = w.double()
        own = (wide * wide).sum().item()
        return torch.tensor([(wide * theirs).sum().item() / own - 1 if own else 0.0 for theirs in models]).double()
