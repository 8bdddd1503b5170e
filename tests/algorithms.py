"""Models and algorithms of a user's own, copied beside the tests' job files."""

import os
import signal
from dataclasses import dataclass
from threading import Event
from typing import ClassVar

import torch
from torch import nn

from hpcfl.launch import detect
from hpcfl.strategies import DFedEM, FedAsync, FedAvg


class Net(nn.Sequential):
    """A convolution with BatchNorm and dropout: buffers, an integer buffer, and random numbers in the forward pass."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 10)
        )


@dataclass(frozen=True)
class Eventful(FedAvg):
    """FedAvg that uploads in every way, and whose clients 3 and 4 fail, each in its own way."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "loss": "clients", "head": "each"}

    def init(self, world):
        return {"w": world.initial, "loss": torch.zeros(()), "heads": torch.zeros(0)}

    def combine(self, state, updates):
        heads = updates.gather("head")
        assert len(heads) == len(updates)
        return {"w": updates.mean("w"), "loss": updates.mean("loss"), "heads": heads}

    def send(self, state, client):
        return {"w": state["w"]}

    def local(self, fit, sent, client):
        if client.id == 3:
            raise ValueError("client 3 has no power")
        w = fit(sent["w"])
        if client.id == 4:
            w[7] = float("nan")
        return {"w": w, "loss": (fit.loss / fit.examples).float(), "head": w[:5]}


@dataclass(frozen=True)
class Trouble(FedAvg):
    """What rank's process does to itself when it trains client 0 from the model of step 2."""

    how: str = "stop"

    def local(self, fit, sent, client):
        if client.id == 0 and client.version == 2:
            if self.how == "raise outside":
                raise SystemExit(3)
            os.kill(os.getpid(), {"stop": signal.SIGSTOP, "kill": signal.SIGKILL}[self.how])
        return {"w": fit(sent["w"])}


class Moody(FedAvg):
    """A third of the clients fail in their first job from a model, but not in another one."""

    def local(self, fit, sent, client):
        if client.visit == 0 and (client.id + client.version) % 3 == 0:
            raise ValueError("not in the mood")
        return {"w": fit(sent["w"])}


class Unlucky(FedAvg):
    """All clients fail."""

    def local(self, fit, sent, client):
        raise RuntimeError("no client works")


class SlowNet(nn.Sequential):
    """A small net that is slow on rank 1: whatever rank is slowed down, the numbers must not change."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        self.rank = detect(os.environ).rank

    def forward(self, x):
        if self.rank == 1:
            Event().wait(0.01)
        return super().forward(x)


@dataclass(frozen=True)
class AsyncTrouble(FedAsync):
    """Rank 1 does something to itself when it trains from the model of step 1 or later."""

    how: str = "stop"

    def local(self, fit, sent, client):
        if client.version >= 1 and detect(os.environ).rank == 1:
            os.kill(os.getpid(), {"stop": signal.SIGSTOP, "kill": signal.SIGKILL}[self.how])
        return {"w": fit(sent["w"])}


class HalfBroken(FedAsync):
    """Clients with an odd number fail."""

    def local(self, fit, sent, client):
        if client.id % 2:
            raise ValueError("odd clients have no power")
        return {"w": fit(sent["w"])}


@dataclass(frozen=True)
class Neighbourly(DFedEM):
    """D-FedEM in which client 3 fails in the second round, and rank 2 may stop or be slow to mix after the third."""

    how: str = ""
    made: ClassVar[list] = []

    def local(self, fit, sent, client):
        if client.id == 3 and client.version == 1:
            raise ValueError("client 3 has no power")
        return super().local(fit, sent, client)

    def mixing(self, world, there):
        self.made.append(there)
        if self.how and len(self.made) == 3 and detect(os.environ).rank == 2:
            os.kill(os.getpid(), signal.SIGSTOP) if self.how == "stop" else Event().wait(60)
        return super().mixing(world, there)
