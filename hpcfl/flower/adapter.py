"""A strategy in Flower's six methods as one of hpcfl's: `combine` asks it, and the schedule asks it who trains.

The other hooks are FedAvg's. Clients upload their vectors ("each"), or their mean where the strategy says that it needs
no more.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.errors import JobError
from hpcfl.flower.arrays import Arrays
from hpcfl.flower.dialects import Dialect
from hpcfl.flower.memory import KEY, lacking, recall, remember
from hpcfl.flower.records import KEYS
from hpcfl.flower.server import EPOCHS, RATES, Brought, Chosen, Server
from hpcfl.strategies import FedAvg

__all__ = ["Adapter", "Proximal"]

State = dict[str, Tensor]
Make = Callable[[Sequence[np.ndarray], Sequence[str]], Any]
"""(arrays of the first model, their names) -> the strategy."""
LOST = "no result when the round closed: its device failed, or it was late"
NOTHING = "it holds no samples back to evaluate on"
PROXIMAL = ("proximal_mu", "proximal-mu")
ROUND = ("server-round", "server_round", "current_round", "round")
"""Configs tell it as well; nothing is to be done about it."""


class Adapter(FedAvg):
    """Speaks Flower on rank 0; to everything else it is a FedAvg."""

    clients_evaluate: ClassVar[bool] = False
    """Clients have test shares of their own, whatever `client.test_size` says."""
    heeded: ClassVar[tuple[str, ...]] = (*EPOCHS, *RATES)
    """Keys of a config that hpcfl's own clients go by."""

    def __init__(self, make: Make, dialect: Dialect, weighted_mean: bool = False, kept: bool = False):
        """`kept`: the job asks for checkpoints, which hold what the strategy knows."""
        self.uploads = {"w": "examples" if weighted_mean else "each"}
        self._make, self._dialect, self._kept = make, dialect, kept
        self._orders: dict[int, Chosen] = {}
        self._small: dict[Any, Tensor] = {}
        self._noted: Tensor | None = None
        self._told: set[str] = set()
        self.server: Server | None = None
        """The talk with the strategy itself, on rank 0."""

    ask: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None
    """(client, config) -> its properties, where clients have any."""

    def begin(self, world: World, trainer: Any, serves: bool) -> None:
        """Make the strategy where it is needed: on rank 0."""
        self._world, self.arrays = world, Arrays(world.layout, trainer.constants())
        if serves:
            strategy = self._make(self.arrays.of(world.initial), self.arrays.names)
            self.server = Server(strategy, self._dialect, self.arrays, world, self.ask)
            self._memory()

    # on the server
    def init(self, world: World) -> State:
        """The strategy's first model."""
        state = {"w": self.server.initial() if self.server else world.initial}
        if self.server:
            self.note(state)
        return state

    def note(self, state: State) -> None:
        """Put what the strategy keeps in its attributes into the state, where a checkpoint finds it."""
        for name in [name for name in state if name.partition(".")[0] == KEY]:
            del state[name]
        state.update(self._memory())
        self._noted = state[KEY]

    def _memory(self) -> State:
        """What the strategy knows; JobError where a checkpoint has to hold it and cannot."""
        found = remember(self.server.strategy)
        if self._kept and (why := lacking(found)):
            raise JobError(f"checkpoint: {why}; leave checkpoint.every and checkpoint.resume out")
        return found

    def restore(self, state: State) -> None:
        """Give the strategy its attributes back, if the state is that of a checkpoint."""
        if KEY in state and state[KEY] is not self._noted:
            recall(self.server.strategy, state)

    def choose(self, state: State, server_round: int) -> dict[int, Chosen]:
        """Who trains in a round, from the model of the state."""
        self._orders = self.server.choose(server_round, state["w"])
        if self.ask is None:
            self._tell_unheeded(self._orders.values())
        return self._orders

    def _tell_unheeded(self, orders: Iterable[Chosen]) -> None:
        """Say on stderr, once of each key, what of the configs changes nothing."""
        unheeded = {key for order in orders for key in order.config}.difference(self.heeded, ROUND, (KEYS,), self._told)
        if unheeded:
            print(
                f"note: hpcfl's own clients heed {', '.join(self.heeded)} of a config; this one also has "
                f"{', '.join(sorted(unheeded))}, which changes nothing", file=sys.stderr, flush=True,
            )  # fmt: skip
        self._told |= unheeded

    def send(self, state: State, client: int) -> State:
        """What the strategy wants the client to train from; a client that it did not choose is only examined."""
        return self.parcel(self._orders.get(client) or Chosen(state["w"], {}, None, None))

    def parcel(self, order: Chosen) -> State:
        """What travels to a client."""
        return {"w": order.w}

    def combine(self, state: State, updates: Cohort) -> State:
        """What `aggregate_fit` makes of the round; a client that was chosen and is not there is a failure."""
        brought = self._brought(updates)
        failed = {update.job.client: update.failure for update in updates.failures}
        lost = self._orders.keys() - {update.job.client for update in updates} - failed.keys()
        vector = self.server.aggregate(updates.step, brought, {**failed, **dict.fromkeys(lost, LOST)})
        self._orders, self._small = {}, {}
        return state if vector is None else {"w": vector}

    def read(self, client: int, figures: Sequence[float]) -> Brought | str:
        """What a client found when it evaluated, or why it found nothing."""
        loss, accuracy = figures
        if math.isnan(accuracy):
            return NOTHING
        return Brought(client, loss, int(self._world.held_out[client]), {"accuracy": accuracy})

    def _brought(self, updates: Cohort) -> list[Brought]:
        return [
            Brought(update.job.client, vector, update.job.examples, {"train_loss": update.loss})
            for update, vector in zip(updates, self._vectors(updates))
        ]

    def _vectors(self, updates: Cohort) -> Sequence[Tensor]:
        """Every client's, or for each the mean."""
        return updates.every("w") if self.uploads["w"] == "each" else [updates.mean("w")] * len(updates)

    def _once(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of this key; clients that are sent the same share it, and it travels once."""
        if key not in self._small:
            self._small[key] = make().to(self._world.initial.device)
        return self._small[key]


class Proximal(Adapter):
    """For a strategy that has a `proximal_mu`, which its configs tell the clients: FedProx (Li et al. 2020, MLSys)."""

    heeded: ClassVar[tuple[str, ...]] = (*Adapter.heeded, *PROXIMAL)

    def parcel(self, order: Chosen) -> State:
        """The model, and mu."""
        mu = next((order.config[key] for key in PROXIMAL if key in order.config), 0.0)
        return {"w": order.w, "mu": self._once(mu, lambda: torch.tensor(float(mu)))}

    def correct(self, grad: Tensor, w: Tensor, start: Tensor, sent: State, client: Any) -> None:
        """grad + mu (w - w0)."""
        grad.add_((w - start) * sent["mu"])
