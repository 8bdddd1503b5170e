"""FedAvg (McMahan et al. 2017, AISTATS), and the default of every hook: an algorithm overrides what it changes.

    w' = sum n_k w_k / sum n_k

A strategy's state is named tensors and nothing else; `state["w"]` is the global model, a vector of P float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from hpcfl.core import Cohort, World

if TYPE_CHECKING:
    from hpcfl.flat import Layout
    from hpcfl.training import Client, Fit

State = dict[str, Tensor]


@dataclass(frozen=True)
class FedAvg:
    """Clients train the global model for some epochs; the server averages, weighted by their samples."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples"}
    """What a client uploads, and what becomes of it: averaged weighted by "examples", averaged over "clients"
    alike, or brought to the server as it is ("each"; as "bytes" uint8 of any length, with zeros behind the shorter
    ones). Averages are summed up where the clients train; an averaged tensor has the shape of the one sent under its
    name, or is a scalar. "neighbours": mixed among the clients as `mixing` says, each of which then has the outcome at
    home under that name, and begins with what `init` has there; the server gets the mean over all clients by their
    samples. Needs `private`, and rounds."""
    pooled: ClassVar[bool] = False
    """The clients' data is merged into one client."""
    private: ClassVar[bool] = False
    """Clients keep `client.state` between their jobs: a client is then always trained on the same rank."""

    recorded: ClassVar[tuple[str, ...]] = ()
    """What of the state the result file keeps beside the model."""

    # on the server
    def init(self, world: World) -> State:
        """The state before the first step."""
        return {"w": world.initial}

    def send(self, state: State, client: int) -> State:
        """What the client receives. The same tensor for several clients travels once."""
        return {"w": state["w"]}

    def combine(self, state: State, updates: Cohort) -> State:
        """The state after a step, from the updates that arrived."""
        return {"w": updates.mean("w")}

    def mixing(self, world: World, there: Sequence[int]) -> Tensor:
        """(n, n) float64: in row i what each client's upload counts in what client there[i] keeps; together 1.

        Of those who trained in a round, in ascending order. Asked on every rank, for uploads to "neighbours" alone.
        """
        return torch.full((len(there), len(there)), 1 / len(there), dtype=torch.float64)

    def travels(self, layout: Layout, version: int) -> float:
        """Share of the model that travels, each way, in the jobs that start from server step `version`."""
        return 1.0

    # on the client
    def local(self, fit: Fit, sent: State, client: Client) -> State:
        """A job: what to train from what was received, and what to upload. Names as in `uploads`."""
        return {"w": fit(sent["w"])}

    def base(self, sent: State, client: Client) -> Tensor:
        """Where the upload "w" would be if nothing changed: from there a client's change is measured, compressed, or
        turned round where it lies."""
        return client.part(sent["w"])

    def loss(self, logits: Tensor, labels: Tensor, client: Client) -> Tensor:
        """The loss of a batch, a scalar; the job's own unless the algorithm has one."""
        return client.loss(logits, labels)

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        """Change a local step's gradient in place. `grad`, `w` and `start`, the vector that `fit` was given, are (T,):
        the trainable part of a model.

        Called only where an algorithm overrides it.
        """

    # in evaluation
    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        """(P,) the model that the client itself uses, evaluated on its held-out share (`client.test_size`).

        From what it would be sent now and what it has at home, which stays as it is; `fit` tunes a copy.
        """
        return sent["w"]

    def predict(self, forward: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
        """Logits of a batch; `forward(vector)` applies the architecture to it."""
        return forward(w)


def mixture(weights: Sequence[float], vectors: Sequence[Tensor]) -> Tensor:
    """(P,) sum of weight * vector, one after the other: always the same bits."""
    total = torch.zeros_like(vectors[0])
    for weight, vector in zip(weights, vectors):
        total.add_(vector, alpha=weight)
    return total
