"""A client at work, as an algorithm's hooks see it, and the recipe by which it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpcfl.family import Piece, cut
from hpcfl.flat import Layout
from hpcfl.rng import stream

__all__ = ["Client", "Recipe"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a client trains: what the job's sections `client` and `data.transform` were built into."""

    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    loss: Loss
    rates: tuple[float, ...]
    """Learning rate of each server step."""
    transform: Callable[[Tensor], Tensor] | None = None
    shuffle: bool = True
    """Whether each epoch deals the samples to batches anew."""


@dataclass(frozen=True)
class Client:
    """A client at work on one job, as a strategy's hooks see it."""

    id: int
    version: int
    """The server step whose model it starts from."""
    visit: int
    """How many jobs it had from that model before."""
    index: Tensor
    """(examples,) its places in the training set: those of the job's slice."""
    counts: Tensor
    """(classes,) int64: its training samples of each class, in all slices."""
    epochs: int
    lr: float
    loss: Loss
    """The job's loss(logits, labels)."""
    seed: int
    layout: Layout
    """Where the model's tensors lie in its vector."""
    state: dict[str, Tensor]
    """What it keeps at home from job to job, if the strategy is `private`; at first {"w": the initial model},
    and what neighbours mix as the strategy's `init` has it.

    Put new tensors in, change none in place. A job that fails leaves it as it was.
    """
    pieces: tuple[Piece, ...] | None = None
    """What of its model is averaged, and where that lies in the vector of all that is; None where that is the model."""

    @property
    def examples(self) -> int:
        """Number of the samples that it trains on."""
        return len(self.index)

    def part(self, sent: Tensor) -> Tensor:
        """(n,) what a vector of all that is averaged has of this client's model; it looks like `upload`."""
        return sent if self.pieces is None else cut(sent, [(place, size) for _, place, size in self.pieces])

    def upload(self, w: Tensor) -> Tensor:
        """(n,) what of its model is averaged."""
        return w if self.pieces is None else cut(w, [(begin, size) for begin, _, size in self.pieces])

    def download(self, sent: Tensor) -> Tensor:
        """(P,) its model with what of it is averaged as it was sent; the rest, if any, is that of state["w"]."""
        part = self.part(sent)
        if self.pieces is None or len(part) == self.layout.size:
            return part
        w, end = self.state["w"].clone(), 0
        for begin, _, size in self.pieces:
            w[begin : begin + size] = part[end : end + size]
            end += size
        return w

    def stream(self, purpose: str) -> np.random.Generator:
        """This job's own random numbers for `purpose`, the same on any rank."""
        return stream(self.seed, "client", self.id, self.version, self.visit, purpose)
