"""A Flower strategy whose clients are Flower clients: their own code trains and evaluates, on data of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcfl.core import Cohort, Job, World
from hpcfl.flower.adapter import Adapter
from hpcfl.flower.scalars import pack, plain, unpack
from hpcfl.flower.server import Brought, Chosen, seeded
from hpcfl.share import located
from hpcfl.training import EXAMINED

__all__ = ["Hosting"]

State = dict[str, Tensor]
REASON = 300
"""Most letters of why a client could not evaluate: each may take six bytes."""
WORDS = 512
"""What a client tells of its evaluation travels as float64 of four bytes each: so many."""


class Hosting(Adapter):
    """As an Adapter; a client stays with its rank, where its app is."""

    private = True
    clients_evaluate: ClassVar[bool] = True

    def __init__(self, make: Any, dialect: Any, host: Callable[[Sequence[str], int], Any]):
        """`host`: (names of the model's arrays, number of clients) -> the app."""
        super().__init__(make, dialect)
        self.uploads = {"w": "each", "report": "bytes"}
        self._host = host

    def begin(self, world: World, trainer: Any, serves: bool) -> None:
        """As an Adapter; the app is made on every rank, and asked in place of the trainer's own evaluation."""
        self._app = self._host([entry.name for entry in world.layout.entries], world.clients)
        super().begin(world, trainer, serves)
        trainer.examine = lambda job, sent, after: self._examine(trainer, job, sent)
        trainer.figures = 2 + WORDS

    def ask(self, client: int, config: dict[str, Any]) -> dict[str, Any]:
        """A client's properties; it is made on the server for that."""
        return plain(self._app.properties(client, config))

    def parcel(self, order: Chosen) -> State:
        """The model, and the config."""
        config = pack(order.config)
        return {"w": order.w, "config": self._once(config.numpy().tobytes(), lambda: config)}

    # on the client
    def local(self, fit: Any, sent: State, client: Any) -> State:
        """What the client's own `fit` makes of the model; with its metrics, as JSON."""
        config = unpack(sent["config"])
        with seeded(client.seed, "client", client.id, client.version, client.visit):
            answer = self._app.fit(client.id, self.arrays.of(sent["w"].clone(), writable=True), config)
        metrics = plain(answer.metrics)
        vector = self.arrays.fill(torch.empty(len(sent["w"])), answer.arrays).to(sent["w"].device)
        fit.measures = math.isfinite(answer.loss)
        fit.examples = answer.examples
        fit.loss.fill_(answer.loss * max(1, answer.examples))
        return {"w": vector, "report": pack({"examples": answer.examples, "metrics": metrics})}

    def _examine(self, trainer: Any, job: Job, sent: State) -> tuple[float, ...]:
        """[examples, loss, words...]; of one that failed -1 examples, and why."""
        client = trainer.client(replace(job, visit=EXAMINED), {})
        trainer.seed(client)
        try:
            with seeded(client.seed, "evaluation", client.id, client.version):
                arrays = self.arrays.of(sent["w"].clone(), writable=True)
                answer = self._app.evaluate(client.id, arrays, unpack(sent["config"]))
            return (float(answer.examples), float(answer.loss), *words(answer.metrics))
        except Exception as failure:
            return (-1.0, math.nan, *words(located(failure)[:REASON]))

    # on the server
    def read(self, client: int, figures: Sequence[float]) -> Brought | str:
        """What its own `evaluate` found."""
        examples, loss, *told = figures
        told = unpack(torch.from_numpy(np.array(told, "<u4").view(np.uint8)))
        return told if examples < 0 else Brought(client, loss, int(examples), told)

    def _brought(self, updates: Cohort) -> list[Brought]:
        reports = [unpack(row) for row in updates.every("report")]
        return [
            Brought(update.job.client, vector, report["examples"], report["metrics"])
            for update, vector, report in zip(updates, updates.every("w"), reports)
        ]


def words(told: Mapping[str, Any] | str) -> list[float]:
    """JSON as WORDS numbers; ValueError where that is not enough."""
    text = pack(told).numpy().tobytes()
    if len(text) > 4 * WORDS:
        raise ValueError(f"metrics of {len(text):,} bytes as JSON; at most {4 * WORDS:,}")
    return np.frombuffer(text.ljust(4 * WORDS, b"\0"), "<u4").astype(float).tolist()
