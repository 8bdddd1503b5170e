"""Many clients as one program: their models are stacked, and every local step is one computation for all of them.

A small model costs mostly the calls, not the numbers: a stack of a hundred takes little longer than one. The sequential
path in `training` is the reference; this one draws the same random numbers, makes the same steps, and differs from it
by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hpcfl.core import Job
from hpcfl.pinned import upload
from hpcfl.sgd import SGD
from hpcfl.stacked import Forward, leaves, smoothing
from hpcfl.strategies import FedAvg
from hpcfl.training import Client, Trainer

__all__ = ["Batched", "Trained", "obstacle", "unstackable"]

ELEMENTWISE = (
    SGD,
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam,
    torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.Rprop,
)  # fmt: skip
"""Optimizers that treat every number by itself: on a stack they do what they would do on each of its models."""


class Wanted(Exception):  # noqa: N818 - not an error: a client's `local` is at a call of `fit`
    """What `local` wants trained, while it waits."""

    def __init__(self, w: Tensor, epochs: int | None):
        super().__init__()
        self.w, self.epochs = w, epochs


class Replayed:
    """The `fit` of one client: it answers the calls that were trained already, and stops `local` at the next one.

    `local` is run once more after each program; hooks change nothing but the client's state, a new dict every time.
    """

    def __init__(self, task: Task, trainer: Trainer, losses: Tensor, row: int):
        self.steps = 0
        self.examples = 0
        self.results: list[Tensor] = []
        self.calls = 0
        self._task, self._trainer = task, trainer
        self._risks: dict[Tensor, float] = {}
        self._losses, self._row = losses, row

    def __call__(self, w: Tensor, *, epochs: int | None = None) -> Tensor:
        """As `training.Fit`."""
        if self.calls == len(self.results):
            raise Wanted(w, epochs)
        self.calls += 1
        return self.results[self.calls - 1]

    def risk(self, w: Tensor) -> float:
        """As of `training.Fit`; what was asked once is known."""
        if w not in self._risks:
            self._risks[w] = self._trainer.risk(w, self._task.client)
        return self._risks[w]

    @property
    def loss(self) -> Tensor:
        """As of `training.Fit`."""
        return self._losses[self._row]


class Task:
    """One client of a program: its job, and how far its `local` has come."""

    def __init__(self, job: Job, trainer: Trainer, sent: dict[str, Tensor], losses: Tensor, row: int):
        self.job, self.sent, self.row = job, sent, row
        self.fit = Replayed(self, trainer, losses, row)
        self.batches: np.random.Generator | None = None
        self.wanted: Wanted | None = None
        self.uploads: dict[str, Tensor] | None = None
        self._trainer = trainer

    @cached_property
    def client(self) -> Client:
        """As hooks see it; made for those that look."""
        return self._trainer.client(self.job, {})


@dataclass(frozen=True)
class Trained:
    """What came of a program's K clients, in the order of its jobs."""

    uploads: dict[str, Tensor]
    """name -> (K, ...), valid until the next program."""
    steps: list[int]
    examples: list[int]
    """Samples seen."""
    losses: Tensor
    """(K,) float64: sums of the training loss over these samples."""


class Batched:
    """The programs of a rank: at most `size` clients each."""

    def __init__(self, trainer: Trainer, size: int):
        self.size = size
        self._trainer = trainer
        self._module = trainer.module
        self._forward = Forward(trainer.module)
        self._stacks: list[Tensor] = []
        self._known: dict[tuple[int, int], tuple[dict[str, Tensor], Any]] = {}
        self._entries = [entry for entry in trainer.layout.entries if entry.kind == "parameter"]
        self._smoothing = smoothing(trainer.strategy, trainer.recipe.loss)
        self._plain = type(trainer.strategy).local is FedAvg.local
        self._corrects = type(trainer.strategy).correct is not FedAvg.correct

    def train(self, jobs: Sequence[Job], sents: Sequence[dict[str, Tensor]]) -> Trained:
        """Train the clients of the jobs, each from what it was sent. Whatever a hook raises, goes through."""
        trainer = self._trainer
        losses = torch.zeros(len(jobs), dtype=torch.float64, device=trainer.device)
        if len(set(map(trainer.rate, jobs))) > 1:
            raise ValueError("the optimizer of a program has one learning rate")
        tasks = [Task(job, trainer, sent, losses, row) for row, (job, sent) in enumerate(zip(jobs, sents))]
        if not self._module.training:  # it goes through all of its parts
            self._module.train()
        if self._plain:
            for task in tasks:
                task.wanted = Wanted(task.sent["w"], None)
            uploads = {"w": self._run(tasks, losses, 0)}
        else:
            program = 0
            while waiting := [task for task in tasks if self._waits(task)]:
                self._run(waiting, losses, program)
                program += 1
            uploads = stacked([task.uploads for task in tasks])
        return Trained(uploads, [task.fit.steps for task in tasks], [task.fit.examples for task in tasks], losses)

    def _waits(self, task: Task) -> bool:
        """Run the client's `local` as far as it goes; whether that is to another call of `fit`."""
        if task.uploads is not None:
            return False
        self._trainer.seed(task.client)
        task.client.state.clear()
        task.fit.calls = 0
        try:
            task.uploads = self._trainer.strategy.local(task.fit, task.sent, task.client)
        except Wanted as wanted:
            task.wanted = wanted
        return task.uploads is None

    def _run(self, tasks: list[Task], losses: Tensor, program: int) -> Tensor:
        """(tasks, P): what each task wants, trained, one step of all at a time; their losses are added up."""
        trainer = self._trainer
        begin = [task.wanted.w for task in tasks]
        stack = self._filled(program, begin)
        named, optimizer = self._leaves(program, stack)
        parameters = list(named.values())
        for group in optimizer.param_groups:
            group["lr"] = trainer.rate(tasks[0].job)
        places, counts = self._plan(tasks)
        ends = (counts > 0).sum(1).tolist()
        ended: dict[int, Tensor] = {}
        early: dict[int, list[int]] = {}
        for row, end in enumerate(ends):
            if end < places.shape[1]:
                early.setdefault(end - 1, []).append(row)
        weights = upload(counts, trainer.device)
        mine = losses if len(tasks) == len(losses) else losses.new_zeros(len(tasks))
        for step in range(places.shape[1]):
            x, labels = trainer.samples.batch(places[:, step].flatten())
            loss = self._losses(named, x.unflatten(0, places[:, step].shape), labels.view(len(tasks), -1), tasks,
                                counts[:, step])  # fmt: skip
            grads = torch.autograd.grad(loss.sum(), parameters)
            if self._corrects:
                grads = self._corrected(grads, stack, begin, tasks)
            for parameter, grad in zip(parameters, grads):
                parameter.grad = grad
            optimizer.step()
            mine.add_(loss.detach() * weights[:, step])
            for row in early.get(step, ()):
                ended[row] = stack[row].clone()
        for row, result in ended.items():
            stack[row] = result
        optimizer.state.clear()
        for parameter in parameters:
            parameter.grad = None
        if mine is not losses:
            losses[[task.row for task in tasks]] += mine
        self._credit(tasks, stack, counts)
        return stack

    def _leaves(self, program: int, stack: Tensor) -> tuple[dict[str, Tensor], Any]:
        """The stack's parameters by name, and their optimizer as new; made once, which takes as long as a step."""
        key = program, len(stack)
        if key not in self._known:
            parameters = leaves(self._trainer.layout, stack)
            self._known[key] = parameters, self._trainer.recipe.optimizer(list(parameters.values()))
        return self._known[key]

    def _credit(self, tasks: list[Task], stack: Tensor, counts: np.ndarray) -> None:
        """Tell each task's `fit` what was trained."""
        ends, examples = (counts > 0).sum(1).tolist(), counts.sum(1).tolist()
        for task, steps, seen in zip(tasks, ends, examples):
            task.fit.steps += steps
            task.fit.examples += seen
        if not self._plain:  # there `local` asks for it
            for task, result in zip(tasks, stack):
                task.fit.results.append(result)

    def _plan(self, tasks: list[Task]) -> tuple[Tensor, np.ndarray]:
        """(K, S, B) places in the training set, padded; and (K, S) how many of each batch are real."""
        size, rows, pieces = self._trainer.batch_size, [], []
        for row, task in enumerate(tasks):
            epochs = task.job.epochs if task.wanted.epochs is None else task.wanted.epochs
            own = self._trainer.places(task.job)
            rows += [row] * epochs
            if not self._trainer.recipe.shuffle:
                pieces += [own] * epochs
                continue
            task.batches = task.batches or task.client.stream("batches")
            pieces += [own[task.batches.permutation(len(own))] for _ in range(epochs)]
        lengths, owner = np.array([len(piece) for piece in pieces], np.int64), np.array(rows, np.int64)
        steps = -(-lengths // size)
        ends = np.bincount(owner, steps, len(tasks)).astype(np.int64)
        # each epoch begins with a batch of its own, behind the client's earlier ones
        begins = np.cumsum(steps) - steps - (np.cumsum(ends) - ends)[owner] + owner * ends.max()
        places = np.zeros((len(tasks), ends.max(), size), np.int64)
        slots = np.repeat(begins * size - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        places.reshape(-1)[slots] = np.concatenate(pieces) if pieces else ()
        counts = np.where(np.arange(ends.max()) < ends[:, None], size, 0)
        short = lengths % size > 0
        counts.reshape(-1)[(begins + steps - 1)[short]] = (lengths % size)[short]
        return upload(places, self._trainer.device), counts

    def _losses(
        self, named: dict[str, Tensor], x: Tensor, labels: Tensor, tasks: list[Task], counts: np.ndarray
    ) -> Tensor:
        """(K,) each client's mean loss over the real samples of its batch; 0 for one that has none."""
        logits = self._forward(named, x)
        if self._smoothing is None:
            strategy, nothing = self._trainer.strategy, logits.new_zeros(())
            return torch.stack([
                strategy.loss(logits[row, :count], labels[row, :count], task.client) if count else nothing
                for row, (task, count) in enumerate(zip(tasks, counts.tolist()))
            ])  # fmt: skip
        each = cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=self._smoothing
        ).view(labels.shape)
        if (counts == labels.shape[1]).all():
            return each.mean(1)
        real = torch.from_numpy(np.arange(labels.shape[1]) < counts[:, None]).to(each.device)
        return (each * real).sum(1) / torch.from_numpy(np.maximum(counts, 1)).to(each.device)

    def _corrected(
        self, grads: Sequence[Tensor], stack: Tensor, begin: list[Tensor], tasks: list[Task]
    ) -> list[Tensor]:
        """The gradients, changed client by client as the algorithm does, which takes them as one vector."""
        flat = torch.cat([grad.flatten(1) for grad in grads], 1)
        trained = flat.shape[1]
        for grad, w, start, task in zip(flat, stack, begin, tasks):
            self._trainer.strategy.correct(grad, w[:trained], start[:trained], task.sent, task.client)
        parts = flat.split([entry.size for entry in self._entries], 1)
        return [part.view_as(grad) for part, grad in zip(parts, grads)]

    def _filled(self, program: int, begin: list[Tensor]) -> Tensor:
        """The stack of a program, as its training begins."""
        stack = self._stack(program, len(begin))
        return stack.copy_(begin[0]) if all(w is begin[0] for w in begin) else torch.stack(begin, out=stack)

    def _stack(self, number: int, rows: int) -> Tensor:
        """(rows, P) of the work space."""
        while len(self._stacks) <= number:
            self._stacks.append(torch.empty(self.size, self._trainer.layout.size, device=self._trainer.device))
        return self._stacks[number][:rows]


def stacked(uploads: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One dict of (K, ...) out of K dicts; ValueError or RuntimeError where they are not alike."""
    if any(each.keys() != uploads[0].keys() for each in uploads):
        raise ValueError("clients upload different things")
    return {name: torch.stack([each[name] for each in uploads]) for name in uploads[0]}


def obstacle(trainer: Trainer) -> str | None:
    """Why this trainer's clients cannot be trained as one program, or None."""
    if trainer.family:
        return "its clients may have different architectures"
    if trainer.strategy.private:
        return "its clients keep private state, and stay with their ranks"
    return unstackable(trainer)


def unstackable(trainer: Trainer) -> str | None:
    """Why several of this trainer's models cannot be one program, whoever's they are, or None."""
    module, recipe = trainer.module, trainer.recipe
    if recipe.transform:
        return "data.transform draws its random numbers client by client"
    if any(entry.kind == "buffer" for entry in trainer.layout.entries):
        return "the model has buffers or frozen parameters, which training may change"
    names = [entry.offset for entry in trainer.layout.entries if entry.kind == "parameter"]
    if len(set(names)) < len(names):
        return "the model has tied weights"
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._NormBase | nn.RNNBase):
            return f"the model has a {type(part).__name__}"
    optimizer = type(recipe.optimizer([nn.Parameter(torch.zeros(1))]))
    if optimizer not in ELEMENTWISE:
        return f"{optimizer.__name__} does not treat every number by itself"
    return None
