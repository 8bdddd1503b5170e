"""What rank 0 does with a finished step: evaluate, write a row, keep a model, tell the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from torch import Tensor

from hpcfl.core import Cohort, Step, World
from hpcfl.progress import Reporter

__all__ = ["Recorder"]


class Recorder:
    """Called by the engine after every step, while the other ranks already train the next one."""

    def __init__(
        self,
        world: World,
        pool: Any,
        writer: Any,
        progress: Reporter,
        evaluate: Callable[[Tensor], tuple[float, float]],
        constants: dict[str, np.ndarray],
        *,
        evaluate_every: int,
        keep_every: int,
        wall_clock: bool,
        outlook: Any,
    ):
        self._world, self._pool, self._writer, self._progress = world, pool, writer, progress
        self._evaluate, self._outlook = evaluate, outlook
        self._evaluate_every, self._keep_every, self._wall_clock = evaluate_every, keep_every, wall_clock
        self._layout = [
            (entry.name, entry.shape, entry.kind, constants[entry.name] if entry.kind == "constant" else entry.offset)
            for entry in world.layout.entries
        ]
        self._begin = perf_counter()

    def __call__(self, step: Step, updates: Cohort, state: dict[str, Tensor], aggregating: float) -> None:
        last = step.index == self._world.rounds
        wall = perf_counter() - self._begin
        begin = perf_counter()
        loss, accuracy = math.nan, math.nan
        if updates.updates and (last or step.index % self._evaluate_every == 0):
            loss, accuracy = self._evaluate(state["w"])
        evaluating = perf_counter() - begin
        seconds = self._pool.seconds
        sent = 4 * self._world.layout.size
        examples = sum(update.job.examples for update in updates)
        row = {
            "step": step.index,
            "time": wall if self._wall_clock else step.time,
            "wall": wall,
            "loss": loss,
            "accuracy": accuracy,
            "train_loss": sum(update.loss * update.job.examples for update in updates) / max(1, examples),
            "examples": examples,
            "clients": len(updates),
            "failures": len(updates.failures),
            "staleness": float(np.mean([update.staleness for update in updates])) if len(updates) else math.nan,
            "bytes_up": self._pool.bytes_up,
            "bytes_down": self._pool.bytes_down,
            "client_bytes_up": sent * len(updates),
            "client_bytes_down": sent * len(step.done),
            "training": seconds["training"],
            "communicating": seconds["communicating"],
            "aggregating": aggregating,
            "evaluating": evaluating,
        }
        self._writer.step(row, [self._event(step, update) for update in (*updates.updates, *updates.failures)])
        if updates.updates and (last or (self._keep_every and step.index % self._keep_every == 0)):
            self._writer.model(step.index, state["w"].cpu().numpy(), self._layout)
        self._outlook.place = f"after round {step.index} of {self._world.rounds}"
        self._progress.step(step.index, len(updates), loss, accuracy)

    @staticmethod
    def _event(step: Step, update: Any) -> dict[str, Any]:
        job = update.job
        return {
            "step": step.index, "client": job.client, "version": job.version, "start": job.start, "finish": job.finish,
            "rank": update.rank, "examples": job.examples, "steps": update.steps, "loss": update.loss,
            "status": "failed" if update.failure else "ok", "reason": update.failure or "",
        }  # fmt: skip
