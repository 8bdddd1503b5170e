"""SCAFFOLD (Karimireddy et al. 2020, ICML), option II: control variates take the clients' drift out of local steps.

    local gradient - c_k + c;   c_k' = c_k - c + (w - w_k) / (tau_k lr);   c' = c + (n_S / n) mean(c_k' - c_k)

tau_k are the local steps of client k, n_S the samples of the step's clients, n everybody's: |S| / N for clients of one
size, as in the paper. So c is always the mean of all c_k, by samples as w is of the w_k. The formula for c_k' supposes
plain SGD: momentum, weight decay or an adaptive optimizer make c_k something else than a mean gradient. Large tau_k lr
and few clients per step make it unstable: c_k is old by the time it is used. On the real clock, updates that are given
up move c_k without c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class Scaffold(FedAvg):
    """Each client knows its own usual gradient c_k, the server everybody's, c."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "c": "examples"}
    private: ClassVar[bool] = True

    eta_g: Annotated[float, Gt(0)] = 1.0
    """Learning rate of the server; the paper's choice."""

    def init(self, world: World) -> State:
        c = world.initial.new_zeros(world.layout.trainable)
        return {"w": world.initial, "c": c, "examples": torch.tensor(world.counts.sum() / world.slices)}

    def send(self, state: State, client: int) -> State:
        return {"w": state["w"], "c": state["c"]}

    def combine(self, state: State, updates: Cohort) -> State:
        share = sum(update.job.examples for update in updates) / float(state["examples"])
        w, trained = updates.mean("w").clone(), len(state["c"])
        if self.eta_g != 1:
            w[:trained] = torch.lerp(state["w"][:trained], w[:trained], self.eta_g)
        return {**state, "w": w, "c": torch.add(state["c"], updates.mean("c"), alpha=share)}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        before, c = client.state.get("c", torch.zeros_like(sent["c"])), sent["c"]
        w = fit(sent["w"])
        if client.lr == 0:  # at the end of a schedule: nothing moved, and nothing was learnt of the gradient
            return {"w": w, "c": torch.zeros_like(c)}
        drift = (sent["w"][: len(c)] - w[: len(c)]) / (fit.steps * client.lr)
        client.state["c"] = before - c + drift
        return {"w": w, "c": drift - c}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        grad.add_(sent["c"])
        if "c" in client.state:
            grad.sub_(client.state["c"])
