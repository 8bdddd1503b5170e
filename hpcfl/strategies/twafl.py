"""TWAFL (Chen et al. 2019, IEEE TNNLS): temporally weighted aggregation, and deep layers that travel seldom.

    w' = sum a_k w_k / sum a_k,   a_k = n_k (e/2)^-(t - t_k),   t_k: step of k's last upload

over all clients that ever uploaded, with their last models; shallow and deep layers each have their own t_k. In every
loop of 15 rounds the deep layers travel, both ways, in the last 5 only; in the others each client goes on with those it
has at home. It needs synchronous rounds: the uploads of a step must be alike. The server holds a model per client.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.flat import Layout
from hpcfl.strategies.fedavg import FedAvg, State, mixture
from hpcfl.strategies.layers import inside, spans

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class TWAFL(FedAvg):
    """Every client's last model counts, the less the older it is; most rounds leave the classifier at home."""

    uploads: ClassVar[dict[str, str]] = {"shallow": "each", "deep": "each"}
    private: ClassVar[bool] = True

    loop: Annotated[int, Gt(0)] = 15
    """Rounds after which the pattern of exchanges repeats; the paper's choice."""
    deep_rounds: Annotated[int, Ge(0)] = 5
    """Rounds at the end of a loop that exchange the deep layers too, all if there are no more; the paper's choice."""
    deep: list[str] | None = None
    """Names of the deep layers, say ["features.28", "classifier"]; by default the classifier, the last trained one."""

    def travels(self, layout: Layout, version: int) -> float:
        deep = spans("strategy.deep", layout, self.deep).diff().sum().item()
        return 1.0 if self.sends_all(version) else 1 - deep / layout.size

    def init(self, world: World) -> State:
        w, places = world.initial, spans("strategy.deep", world.layout, self.deep)
        state, deep = {"w": w, "spans": places, "step": torch.tensor(0)}, inside(places, len(w))
        state["examples"] = torch.from_numpy(world.counts.sum(1))
        for part, own in (("shallow", w[~deep]), ("deep", w[deep])):
            state |= {part: own, f"{part} models": own.new_zeros(world.clients, len(own))}
            state[f"{part} steps"] = torch.full((world.clients,), -1)
        return state

    def send(self, state: State, client: int) -> State:
        parts = ("shallow", "deep") if self.sends_all(int(state["step"])) else ("shallow",)
        return {name: state[name] for name in ("spans", *parts)}

    def combine(self, state: State, updates: Cohort) -> State:
        state = {**state, "w": state["w"].clone(), "step": torch.tensor(updates.step)}
        deep, clients = inside(state["spans"], len(state["w"])), [update.job.client for update in updates]
        for part, own in (("shallow", ~deep), ("deep", deep)):
            if (theirs := updates.gather(part)).dim() == 2:  # one number each stands for layers that stayed at home
                models, steps = state[f"{part} models"].clone(), state[f"{part} steps"].clone()
                models[clients], steps[clients] = theirs, updates.step
                w = mixture(temporal(state["examples"], steps, updates.step).tolist(), models)
                state |= {part: w, f"{part} models": models, f"{part} steps": steps}
                state["w"][own] = w
        return state

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        deep, w = inside(sent["spans"], len(client.state["w"])), fit(self.personal(fit, sent, client))
        client.state["deep"] = w[deep]
        return {"shallow": w[~deep], "deep": w[deep] if "deep" in sent else torch.zeros(())}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        w, deep = client.state["w"].clone(), inside(sent["spans"], len(client.state["w"]))
        w[~deep] = sent["shallow"]
        w[deep] = sent.get("deep", client.state.get("deep", w[deep]))
        return w

    def sends_all(self, version: int) -> bool:
        """Whether jobs that start from this server step exchange the deep layers too."""
        return version % self.loop >= self.loop - self.deep_rounds


def temporal(examples: Tensor, steps: Tensor, now: int) -> Tensor:
    """(clients,) float64: weights by samples and age of the last upload; 0 where there was none (step -1). Sum 1."""
    weights = examples * (math.e / 2) ** (steps - now).double() * (steps >= 0)
    return weights / weights.sum()
