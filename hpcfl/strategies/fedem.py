"""FedEM (Marfoq et al. 2021, NeurIPS): every client's data is a mixture of K distributions that all clients share.

    E: q_m(i) ~ pi_km exp(-loss(h_m, x_i));  M: pi_km = mean_i q_m(i), and each w_m is trained on its q-weighted loss
    w_m' = sum n_k w_km / sum n_k;  client k predicts sum_m pi_km softmax(h_m(x))

Learners start from different points. The loss may be any: only the prediction takes logits for those of classes, and
gives log-probabilities. The K learners travel, and for the record the K numbers pi_k, which no client is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from hpcfl.flat import Layout
    from hpcfl.training import Client, Fit

FITTED = 20
"""E- and M-steps of a client that trains nothing: the learners stand still, and so their losses."""
WORST = 1e4
"""A larger loss, infinity or NaN counts as this: normalisation layers that have seen little give such in eval mode."""


@dataclass(frozen=True)
class FedEM(FedAvg):
    """`state["w"]` is (K, P), the learners; with one it is (P,), and FedAvg."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "pi": "each"}
    private: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("pi",)

    n_learners: Annotated[int, Gt(0)] = 3
    """K: learners of each client; the paper has 3."""
    tune_locally: bool = False
    """Before it is evaluated a client trains a copy of the learners for its local epochs."""

    def init(self, world: World) -> State:
        count = self.n_learners
        w = torch.stack([world.draw(number) for number in range(count)]) if count > 1 else world.initial
        return {"w": w, "pi": w.new_full((world.clients, count), 1 / count)}

    def combine(self, state: State, updates: Cohort) -> State:
        return {**state, "w": updates.mean("w"), "pi": told(state, updates)}

    def travels(self, layout: Layout, version: int) -> float:
        return float(self.n_learners)

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        if self.n_learners == 1:
            return {"w": fit(sent["w"]), "pi": sent["w"].new_ones(1)}
        pi, q = em(fit.losses(sent["w"]), client.state.get("pi"))
        client.state["pi"] = pi
        return {"w": fit.together(sent["w"], q), "pi": pi}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        """(K + K P,): pi_k and the learners, or what one learner is. Who has never trained only fits its pi_k."""
        if self.n_learners == 1:
            return fit(sent["w"]) if self.tune_locally else sent["w"]
        w, pi = sent["w"], client.state.get("pi")
        if pi is None or self.tune_locally:
            fitted, q = em(fit.losses(w), pi, FITTED if pi is None else 1)
            w, pi = (fit.together(w, q) if self.tune_locally else w), fitted
        return torch.cat([pi, w.flatten()])

    def predict(self, forward: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
        """Log-probabilities; learners that come without pi_k, the server's, count alike."""
        count = self.n_learners
        if count == 1:
            return forward(w)
        pi, learners = (w[:count], w[count:].view(count, -1)) if w.dim() == 1 else (w.new_full((count,), 1 / count), w)
        logs = [forward(learner).log_softmax(1) + log for learner, log in zip(learners, pi.log())]
        return torch.stack(logs).logsumexp(0)


def em(losses: Tensor, pi: Tensor | None, times: int = 1) -> tuple[Tensor, Tensor]:
    """(K,) pi and (K, n) q after so many E- and M-steps on the (K, n) losses, from `pi` or from equal parts."""
    pi = losses.new_full((len(losses),), 1 / len(losses)) if pi is None else pi
    for _ in range(times):
        q = (pi.log()[:, None] - losses.nan_to_num(WORST, WORST).clamp(max=WORST)).softmax(0)
        pi = q.mean(1)
    return pi, q


def told(state: State, updates: Cohort) -> Tensor:
    """(clients, K) every client's pi as it was last heard of."""
    pi = state["pi"].clone()
    pi[[update.job.client for update in updates]] = updates.gather("pi").to(pi)
    return pi
