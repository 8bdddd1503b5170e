"""What the adaptive federated optimizers share: the server treats the clients' mean change as a gradient to step by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State


@dataclass(frozen=True)
class ServerStep(FedAvg):
    """FedAvg whose server goes its own step from w towards the mean; an algorithm says which.

    Only what is trained takes the step. Buffers (running statistics) take the mean: they are no parameters.
    """

    def init(self, world: World) -> State:
        trained = world.layout.trainable
        return {"w": world.initial, "trained": torch.tensor(trained), **self.memory(world.initial[:trained])}

    def combine(self, state: State, updates: Cohort) -> State:
        w, trained = updates.mean("w"), int(state["trained"])
        change = w[:trained] - state["w"][:trained]
        step, memory = self.step(change, state)
        return {**state, **memory, "w": torch.cat([state["w"][:trained] + step, w[trained:]])}

    def memory(self, w: Tensor) -> State:
        """What the server remembers at first; `w` (trained,) are the initial parameters."""
        return {}

    def step(self, change: Tensor, state: State) -> tuple[Tensor, State]:
        """(trained,) the step to make where the clients' mean change is `change`, and what to remember of it."""
        return change, {}
