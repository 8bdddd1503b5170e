"""A strategy whose clients note at home what they did, and a model with normalisation layers."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hpcfl.strategies import FedAvg


class Normed(nn.Sequential):
    """Layers that normalise, named as others are: on 1x8x8 images of 4 classes."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.LayerNorm(72), nn.Linear(72, 4)
        )


@dataclass(frozen=True)
class Diary(FedAvg):
    """Each client keeps its last model, and how many jobs it had; client 1 fails at its second one."""

    private: ClassVar[bool] = True
    fails: str = "raise"

    def local(self, fit, sent, client):
        state = client.state
        state["jobs"] = state["jobs"] + 1 if "jobs" in state else sent["w"].new_ones(())
        state["mine"] = fit(state.get("mine", state["w"]))
        if client.id == 1 and state["jobs"] == 2:
            if self.fails == "raise":
                raise ValueError("the page is torn")
            if self.fails == "upload":
                return {"w": sent["w"] * float("nan")}
            state["mine"] = state["mine"] * float("inf")
        return {"w": sent["w"] + 0}
