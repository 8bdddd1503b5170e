"""FedRep (Collins et al. 2021, ICML): as FedPer, but a client trains its head first, then the body under it.

    head_k' = head_k after `head_epochs` epochs, the body as it was sent;   then body_k after `client.epochs` epochs,
    the head as it has become;   body' = mean(body_k)

The part at rest gets no gradient, and is put back after the pass in case weight decay moved it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from torch import Tensor

from hpcfl.strategies.fedavg import State
from hpcfl.strategies.fedper import FedPer
from hpcfl.strategies.layers import inside

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedRep(FedPer):
    """A head that fits the body it is sent on, at the price of more local epochs."""

    head_epochs: Annotated[int, Ge(0)] = 10
    """Epochs of the head in each job; the paper's choice, with `client.epochs` = 1 for the body."""

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        w, head = self.personal(fit, sent, client), inside(self.places(client.layout), client.layout.size)
        client.state.pop("head", None)
        w[head] = fit(w, epochs=self.head_epochs)[head]
        client.state["head"] = w[head]  # from here on the head is at rest
        return {"body": fit(w)[~head]}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        places = self.places(client.layout).tolist()
        heads = [grad[begin:end].clone() for begin, end in places]
        if not (rests := "head" in client.state):
            grad.zero_()
        for (begin, end), own in zip(places, heads):
            grad[begin:end] = 0.0 if rests else own
