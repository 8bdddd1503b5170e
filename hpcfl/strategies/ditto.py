"""Ditto (Li et al. 2021, ICML): FedAvg, and beside it a model of each client's own, which is pulled to the global one.

    local gradient of v_k + lam (v_k - w);   w' = mean(w_k)

w_k is trained from w as ever; v_k stays at home. A client that has none yet starts it from the w that it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.training import Client, Fit


@dataclass(frozen=True)
class Ditto(FedAvg):
    """The server's model is FedAvg's, whatever the setting; a job trains twice, for the client's own as well."""

    private: ClassVar[bool] = True

    lam: Annotated[float, Ge(0)] = 0.1
    """Strength of the pull; the paper tunes it from 0.05, 0.1, 0.2 (and 1 under attacks). 0: v_k never hears of w."""

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        v = client.state.pop("v", sent["w"])
        w = fit(sent["w"])
        client.state["v"] = v  # from here on the steps are those of v_k
        client.state["v"] = fit(v)
        return {"w": w}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Client) -> None:
        if "v" in client.state:
            grad.add_(w, alpha=self.lam).sub_(sent["w"][: len(w)], alpha=self.lam)

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return client.state.get("v", sent["w"])
