"""What rank 0 does with a finished step: evaluate, write a row, keep a model, tell the user."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from torch import Tensor

from hpcfl.core import Cohort, Job, Step, Update, World
from hpcfl.progress import Reporter

__all__ = ["Recorder"]

NOW = 2**62
"""More jobs than any client has: on the real clock its own model is what it has by now."""


class Recorder:
    """Called by the engine after every step, while the other ranks already train the next one."""

    def __init__(
        self,
        world: World,
        pool: Any,
        writer: Any,
        progress: Reporter,
        evaluate: Callable[[Tensor], tuple[float, float]],
        constants: Sequence[Mapping[str, np.ndarray]],
        *,
        send: Callable[[dict[str, Tensor], int], dict[str, Tensor]],
        recorded: Sequence[str] = (),
        trackers: Any,
        evaluate_every: int,
        keep_every: int,
        upload_bytes: Callable[[int], float],
        outlook: Any,
        wall_clock: bool = False,
        serverless: bool = False,
        damaged: Callable[[Job], bool] = lambda job: False,
        epsilon: Callable[[int], float] = lambda step: math.nan,
        before: Mapping[str, Any] | None = None,
        note_losses: Callable[[], None] = lambda: None,
    ):
        """`constants`: of each architecture the tensors that are not in its vector. `serverless`: clients get models of
        one another alone. `damaged`: whether a job's update is, on purpose. `epsilon`: privacy spent by a step.
        `before`: what `counted` said where a run is resumed. `note_losses` tells of ranks lost since the last step."""
        self._world, self._pool, self._writer, self._progress = world, pool, writer, progress
        self._evaluate, self._trackers, self._outlook = evaluate, trackers, outlook
        self._evaluate_every, self._keep_every = evaluate_every, keep_every
        self._constants, self._serverless, self._damaged, self._epsilon = constants, serverless, damaged, epsilon
        self._note_losses = note_losses
        self._send, self._recorded, self._wall_clock, self._upload_bytes = send, recorded, wall_clock, upload_bytes
        self._jobs = list(before["jobs"]) if before else [0] * world.clients
        self._own = np.full((4, len(world.everyone)), math.nan)
        """Of each client's own model: loss and accuracy on its held-out share, and on the test set."""
        self._examining = 0.0
        self._begin = perf_counter() - (before["wall_s"] if before else 0.0)

    def counted(self) -> dict[str, Any]:
        """What a checkpoint must know: jobs combined of each client, and seconds since the run began; and after how
        many of its jobs a client's private state is that of this moment."""
        after = [NOW] * len(self._jobs) if self._wall_clock else self._jobs
        return {"jobs": list(self._jobs), "wall_s": perf_counter() - self._begin, "after": list(after)}

    def examine(self, step: Step, updates: Cohort, state: dict[str, Tensor]) -> None:
        """If this step is evaluated, ask the clients how their own models do; before the next jobs start."""
        for job in step.done:
            self._jobs[job.client] += 1
        self._own[:], self._examining = math.nan, 0.0
        world = self._world
        if (world.held_out is None and world.family is None) or not self._due(step, updates):
            return
        begin = perf_counter()
        asked = list(range(len(world.everyone))) if world.family else np.flatnonzero(world.held_out).tolist()
        if not asked:
            return
        jobs = [world.job(client, step.index, step.time) for client in asked]
        jobs_of = [*self._jobs, *[0] * (len(world.everyone) - world.clients)]
        after = {client: NOW if self._wall_clock else jobs_of[client] for client in asked}
        for client, found in self._pool.examine(jobs, lambda client: self._send(state, client), after).items():
            self._own[: len(found), client] = found
        self._examining = perf_counter() - begin
        self._writer.clients(step.index, *self._own[: len(found)])

    def _due(self, step: Step, updates: Cohort) -> bool:
        last = step.index == self._world.rounds
        return bool(updates.updates) and (last or step.index % self._evaluate_every == 0)

    def __call__(self, step: Step, updates: Cohort, state: dict[str, Tensor], aggregating: float) -> None:
        last = step.index == self._world.rounds
        wall = perf_counter() - self._begin
        begin = perf_counter()
        loss, accuracy = math.nan, math.nan
        if self._due(step, updates):
            loss, accuracy = self._own[2:].mean(1).tolist() if self._world.family else self._evaluate(state["w"])
        evaluating = perf_counter() - begin + self._examining
        seconds = self._pool.seconds
        examples = sum(update.job.examples for update in updates)
        row = {
            "step": step.index,
            "time": step.time,
            "wall": wall,
            "loss": loss,
            "accuracy": accuracy,
            **self._summary(),
            "train_loss": sum(update.loss * update.job.examples for update in updates) / max(1, examples),
            "examples": examples,
            "clients": len(updates),
            "failures": len(updates.failures) + len(step.lost),
            "epsilon": self._epsilon(step.index),
            "staleness": float(np.mean([update.staleness for update in updates])) if len(updates) else math.nan,
            "bytes_up": self._pool.bytes_up,
            "bytes_down": self._pool.bytes_down,
            **self._client_bytes(step, updates),
            "training": seconds["training"],
            "communicating": seconds["communicating"],
            "aggregating": aggregating,
            "evaluating": evaluating,
        }
        events = [event(update, self._damaged(update.job)) for update in (*updates.updates, *updates.failures)]
        self._note_losses()
        self._writer.step(row, [*events, *(lost(job, status) for job, status in step.lost)])
        if updates.updates and (last or (self._keep_every and step.index % self._keep_every == 0)):
            for name, vector, layout in self._models(state["w"]):
                self._writer.model(step.index, vector.cpu().numpy(), layout, name)
            for name in self._recorded:
                self._writer.state(step.index, name, state[name].cpu().numpy())
        self._trackers.step(row)
        self._outlook.place = f"after round {step.index} of {self._world.rounds}"
        self._progress.step(step.index, len(updates), loss, accuracy, row["client_accuracy"])

    def _models(self, w: Tensor) -> Iterator[tuple[str, Tensor, list[tuple[Any, ...]]]]:
        """(name, vector, layout) of what the file keeps: the one model, each learner where there are several, or what
        the server has of each architecture.
        """
        family = self._world.family
        kept = [("global", w, {entry.name: entry.offset for entry in self._world.layout.entries}, self._world.layout)]
        if w.dim() > 1:
            kept = [(f"learner{number}", row, *kept[0][2:]) for number, row in enumerate(w)]
        if family:
            layouts = enumerate(zip(family.names, family.layouts))
            kept = [(name, *family.at_server(number, w), layout) for number, (name, layout) in layouts]
        of_each = self._constants if family else [*self._constants] * len(kept)
        for (name, vector, starts, layout), constants in zip(kept, of_each):
            whole = len(vector) == layout.size
            rows = [
                (entry.name, entry.shape, entry.kind, constants[entry.name] if constant else starts[entry.name])
                for entry in layout.entries
                if (whole if (constant := entry.kind == "constant") else entry.name in starts)
            ]
            if rows:
                yield name, vector, rows

    def _summary(self) -> dict[str, float]:
        """What /rounds has of the clients' own models: means over all held-out samples, and the lowest decile."""
        train = np.arange(len(self._world.everyone)) < self._world.clients
        loss, accuracy, low = self._means(train)
        *_, unseen, _ = self._means(~train)
        return {
            "client_loss": loss,
            "client_accuracy": accuracy,
            "client_accuracy_low": low,
            "unseen_accuracy": unseen,
        }

    def _means(self, some: np.ndarray) -> tuple[float, float, float]:
        """Mean loss, mean accuracy and the accuracy of the lowest decile of those of some clients that were asked."""
        accuracy = self._own[1]
        asked = some & np.isfinite(accuracy)
        if not asked.any():
            return math.nan, math.nan, math.nan
        means = np.average(self._own[:2, asked], axis=1, weights=self._world.held_out[asked])
        return *means.tolist(), float(np.quantile(accuracy[asked], 0.1))

    def _client_bytes(self, step: Step, updates: Cohort) -> dict[str, int]:
        """What /rounds has of the traffic of the simulated clients, those that were given up included."""
        peers = {update.job.key: update.peers for update in (*updates.updates, *updates.failures)}
        received = [(job, peers.get(job.key, 1 - self._serverless)) for job in step.done]
        received += [(job, 1 - self._serverless) for job, _ in step.lost]
        sent = [round(self._upload_bytes(self._travelled(update.job))) * update.peers for update in updates]
        return {
            "client_bytes_up": sum(sent),
            "client_bytes_down": sum(4 * self._travelled(job) * models for job, models in received),
        }

    def _travelled(self, job: Job) -> int:
        """Elements of the model that the simulated client receives, and sends back."""
        family = self._world.family
        size = family.averaged(family.of[job.client]) if family else self._world.layout.size
        return round(size * self._world.travels(job.version))


def event(update: Update, damaged: bool) -> dict[str, Any]:
    """The row of an update that came, or whose client failed."""
    return {
        **planned(update.job), "rank": update.rank, "steps": update.steps, "loss": update.loss,
        "status": "failed" if update.failure else "corrupted" if damaged else "ok", "reason": update.failure or "",
    }  # fmt: skip


def lost(job: Job, status: str) -> dict[str, Any]:
    """The row of a job that was given up: "straggler" or "dropped"."""
    return {**planned(job), "rank": -1, "steps": 0, "loss": math.nan, "status": status}


def planned(job: Job) -> dict[str, Any]:
    """What a row says of the job itself."""
    return {
        "client": job.client, "version": job.version, "start": job.start, "finish": job.finish,
        "examples": job.examples,
    }  # fmt: skip
