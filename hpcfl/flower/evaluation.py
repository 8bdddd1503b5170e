"""What a Flower strategy does between two rounds: it evaluates the model, and lets clients evaluate it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from hpcfl.core import Cohort, Step, World
from hpcfl.flower.adapter import Adapter

__all__ = ["Evaluation"]


class Evaluation:
    """Called by the engine where the ranks can be asked how their clients do, after every step, as Flower does.

    Clients evaluate where they have a test share: their held-out samples (`client.test_size`), or what a Flower client
    has by itself.
    """

    def __init__(
        self, adapter: Adapter, world: World, pool: Any, write: Callable[[Sequence[Mapping[str, Any]]], None],
        examine: Callable[[Step, Cohort, dict[str, Tensor]], None],
    ):  # fmt: skip
        """`write` takes rows of /metrics; `examine` is what hpcfl does at the same moment, for its own figures."""
        self._adapter, self._world, self._pool, self._write, self._examine = adapter, world, pool, write, examine
        self._began = False

    def __call__(self, step: Step, updates: Cohort, state: dict[str, Tensor]) -> None:
        self._examine(step, updates, state)
        server = self._adapter.server
        self._adapter.restore(state)
        if step.done or (step.index == 0 and not self._began):  # a first round that nobody survives begins again
            server.evaluate(step.index, state["w"])
        self._began = True
        if step.done and (self._world.held_out is not None or self._adapter.clients_evaluate):
            self._ask_clients(step, state)
        self._write(server.notes)
        server.notes = []
        self._adapter.note(state)

    def _ask_clients(self, step: Step, state: dict[str, Tensor]) -> None:
        server, world = self._adapter.server, self._world
        asked = server.evaluators(step.index, state["w"])
        jobs = [world.job(client, step.index, step.time) for client in sorted(asked)]
        if not jobs:
            return
        found = self._pool.examine(jobs, lambda client: self._adapter.parcel(asked[client]), dict.fromkeys(asked, 0))
        brought, failed = [], {}
        for client, figures in sorted(found.items()):
            answer = self._adapter.read(client, figures)
            if isinstance(answer, str):
                failed[client] = answer
            else:
                brought.append(answer)
        server.aggregate_evaluate(step.index, brought, failed)
