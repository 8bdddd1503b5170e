"""FedBN (Li et al. 2021, ICLR): normalisation layers, which hold a client's own feature statistics, stay at home.

    w_k = everything else of w, and the client's own normalisation layers; w' = mean(w_k)

Which layers these are is asked of the modules' types, never of their names. The server averages them as well, for its
own model and for newcomers (as the paper's appendix has it), but no client that has trained ever loads that average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg, State
from hpcfl.strategies.layers import inside, norms

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class FedBN(FedAvg):
    """FedAvg of all other layers; a model without normalisation layers makes it FedAvg."""

    private: ClassVar[bool] = True

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        w = fit(self.personal(fit, sent, client))
        client.state["norms"] = w[inside(norms(client.layout), len(w))]
        return {"w": w}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        w = sent["w"].clone()
        if "norms" in client.state:
            w[inside(norms(client.layout), len(w))] = client.state["norms"]
        return w
