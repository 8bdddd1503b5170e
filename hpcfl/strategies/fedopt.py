"""FedOpt (Reddi et al. 2021, ICLR) with any optimizer of torch.optim: g = w - mean(w_k) is its gradient.

`fedadam`, `fedyogi`, `fedadagrad` and `fedavgm` are the paper's own formulas; torch's Adam corrects its bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hpcfl.errors import JobError
from hpcfl.strategies.fedavg import State
from hpcfl.strategies.serverstep import ServerStep

MEMORY = "optimizer "
"""Begins the names of the optimizer's own tensors in the state."""


@dataclass(frozen=True)
class FedOpt(ServerStep):
    """The optimizer goes on from step to step: what it remembers is part of the state."""

    optimizers: ClassVar[tuple[str, ...]] = ("optimizer",)
    """Fields that a job file fills with an optimizer; they get it as a function of the parameters."""

    optimizer: Callable[[Sequence[nn.Parameter]], Any]
    """The server's optimizer and its parameters, say {name = "torch.optim.Adam", lr = 0.01}."""

    def __post_init__(self) -> None:
        try:
            self.step(torch.zeros(1), {"w": torch.zeros(1)})
        except Exception as failure:
            raise JobError(f"strategy.optimizer: cannot make a step on the server: {failure}") from None

    def step(self, change: Tensor, state: State) -> tuple[Tensor, State]:
        before = state["w"][: len(change)]
        parameter = nn.Parameter(before.clone())
        optimizer = self.optimizer([parameter])
        known = {name: tensor.clone() for name, tensor in state.items() if name.startswith(MEMORY)}
        if known:
            optimizer.state[parameter] = {name.removeprefix(MEMORY): tensor for name, tensor in known.items()}
        parameter.grad = -change
        optimizer.step()
        kept = {name: value for name, value in optimizer.state[parameter].items() if value is not None}
        memory = {MEMORY + name: torch.as_tensor(value) for name, value in kept.items()}
        return parameter.detach() - before, memory
