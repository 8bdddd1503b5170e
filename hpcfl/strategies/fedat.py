"""FedAT (Chai et al. 2021, SC): tiers of like speed run FedAvg rounds at their own pace; the slow ones count more.

    w' = sum_m (T_(M+1-m) / T) w_tier_m,   T_m: rounds that tier m finished, T their sum; tier 1 is the fastest

Each tier counts by the rounds of its mirror image, so that the weights sum to 1. Local training has FedProx's pull.
The tiers are the schedule's groups.
"""

from dataclasses import dataclass

import torch

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import State, mixture
from hpcfl.strategies.fedprox import FedProx


@dataclass(frozen=True)
class FedAT(FedProx):
    """A model per tier, and the global one mixed from them; a tier without a finished round holds the initial model."""

    def init(self, world: World) -> State:
        tiers = max(1, len(world.groups))
        rounds = torch.zeros(tiers, dtype=torch.int64)
        return {"w": world.initial, "tiers": world.initial.repeat(tiers, 1), "rounds": rounds}

    def combine(self, state: State, updates: Cohort) -> State:
        tiers, rounds = state["tiers"].clone(), state["rounds"].clone()
        tiers[updates.group] = updates.mean("w")
        rounds[updates.group] += 1
        weights = rounds.double().flip(0) / rounds.sum()
        return {"w": mixture(weights.tolist(), tiers), "tiers": tiers, "rounds": rounds}
