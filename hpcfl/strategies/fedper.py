"""FedPer (Arivazhagan et al. 2019, arXiv): the last layers, the head, stay with each client; the body is everybody's.

body' = mean(body_k);   head_k stays at home. Both are trained together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.flat import Layout
from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.layers import inside, spans

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedPer(FedAvg):
    """Only the body travels. The server's model has the head of the initial one: what counts are the clients' own."""

    uploads: ClassVar[dict[str, str]] = {"body": "examples"}
    private: ClassVar[bool] = True

    head: list[str] | Annotated[int, Ge(0)] = 1
    """Layers that stay at home: their names, say ["features.28", "classifier"], or how many of the last trained ones.
    The paper's choice is the classifier, for some models with a block before it; 0 is FedAvg."""

    def travels(self, layout: Layout, version: int) -> float:
        return 1 - self.places(layout).diff().sum().item() / layout.size

    def init(self, world: World) -> State:
        head = inside(self.places(world.layout), len(world.initial))
        return {"w": world.initial, "body": world.initial[~head], "head": head}

    def send(self, state: State, client: int) -> State:
        return {"body": state["body"]}

    def combine(self, state: State, updates: Cohort) -> State:
        w, body = state["w"].clone(), updates.mean("body")
        w[~state["head"]] = body
        return {**state, "w": w, "body": body}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        w, head = fit(self.personal(fit, sent, client)), inside(self.places(client.layout), client.layout.size)
        client.state["head"] = w[head]
        return {"body": w[~head]}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        w, head = client.state["w"].clone(), inside(self.places(client.layout), client.layout.size)
        w[~head] = sent["body"]
        w[head] = client.state.get("head", w[head])
        return w

    def places(self, layout: Layout) -> Tensor:
        """(tensors, 2) where the head lies; JobError for layers that the model does not have."""
        return spans("strategy.head", layout, self.head)
