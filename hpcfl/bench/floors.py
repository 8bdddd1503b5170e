"""The floors: a round of FedAvg as one writes it down without a framework, on the same clients in the same order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from hpcfl.build import Parts
from hpcfl.core import Job, shares

__all__ = ["Loop", "Stack", "Task", "mean_loss", "module_of"]


class Task:
    """What a floor trains: a module of its own, and every client's samples as tensors of their own."""

    def __init__(self, parts: Parts):
        self.initial, self.batch_size = parts.world.initial, parts.world.batch_size
        self._parts = parts
        samples = parts.trainer.samples
        self._draws = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in parts.trainer.module.modules())
        self._places = {entry.name: entry.offset for entry in parts.world.layout.entries if entry.kind != "constant"}
        clients = [parts.trainer.client(parts.world.job(k, 0, 0.0), {}) for k in range(parts.world.clients)]
        self.lr = clients[0].lr
        self.data = [tuple(part.clone(memory_format=torch.contiguous_format) for part in samples.batch(client.index))
                     for client in clients]  # fmt: skip
        """(samples, labels) of each client, as they come from a file: images channel by channel."""

    def draw_as(self, job: Job) -> None:
        """Let a model that draws random numbers draw those of the job."""
        if self._draws:
            self._parts.trainer.seed(self._parts.trainer.client(job, {}))

    def module(self) -> nn.Module:
        """The model that every run of the workload starts from."""
        return module_of(self._parts, self.initial)

    def averaged(self, module: nn.Module) -> list[Tensor]:
        """The module's tensors that a mean of models has, in the order of the vector: running averages, too."""
        state = module.state_dict()
        return [state[name] for name in sorted(self._places, key=self._places.get)]


def module_of(parts: Parts, vector: Tensor) -> nn.Module:
    """A module with tensors of its own that hold the model `vector`."""
    module, views = copy.deepcopy(parts.trainer.module), parts.world.layout.views(vector)
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            tensor.data = views.get(name, tensor).clone(memory_format=torch.contiguous_format)
            tensor.grad = None
    return module.train()


def mean_loss(module: nn.Module, parts: Parts) -> float:
    """Mean cross entropy on the test set."""
    x, labels = parts.test.batch(slice(None))
    with torch.no_grad():
        return cross_entropy(module.eval()(x), labels).item()


class Loop:
    """One client after the other. With `workers` loops each takes its share of the clients.

    Several then add up their models by one all_reduce of the flat vector in `group`, or, without one, never talk: they
    do not make a model, and show how fast a round could be if the ranks need not know one another.
    """

    def __init__(self, name: str, task: Task, workers: int = 1, worker: int = 0, group: Any = None, threads: int = 1):
        self.name, self.threads = name, threads
        self._task, self._workers, self._worker, self._group = task, workers, worker, group
        self._module = task.module()
        self._optimizer = torch.optim.SGD(self._module.parameters(), lr=task.lr)
        self._tensors = task.averaged(self._module)
        self._w = torch.cat([tensor.flatten() for tensor in self._tensors])
        self._mean = torch.empty_like(self._w)

    def round(self, jobs: Sequence[Job]) -> None:
        """Train this worker's share of the jobs, and take the mean of all models by samples."""
        sizes = [tensor.numel() for tensor in self._tensors]
        total = sum(job.examples for job in jobs)
        self._mean.zero_()
        for job in shares(jobs, self._workers)[self._worker]:
            with torch.no_grad():
                for tensor, start in zip(self._tensors, self._w.split(sizes)):
                    tensor.copy_(start.view_as(tensor))
            self._task.draw_as(job)
            self._train(*self._task.data[job.client])
            with torch.no_grad():
                for tensor, mean in zip(self._tensors, self._mean.split(sizes)):
                    mean.add_(tensor.view(-1), alpha=job.examples / total)
        if self._group is not None:
            dist.all_reduce(self._mean, group=self._group)
        self._w, self._mean = self._mean, self._w

    def _train(self, x: Tensor, labels: Tensor) -> None:
        size = self._task.batch_size
        for batch, wanted in zip(x.split(size), labels.split(size)):
            self._optimizer.zero_grad()
            cross_entropy(self._module(batch), wanted).backward()
            self._optimizer.step()

    def model(self) -> Tensor | None:
        """The model after the rounds so far; None of loops that never talk."""
        return self._w if self._workers == 1 or self._group is not None else None


class Stack:
    """All clients of a round at once: torch.func's vmap over a stack of models. They have equally many samples."""

    threads: int

    def __init__(self, name: str, task: Task, threads: int = 1):
        self.name, self.threads = name, threads
        self._task, self._module = task, task.module()
        self._w = {name: tensor.detach() for name, tensor in self._module.named_parameters()}
        self._x, self._y = (torch.stack(parts) for parts in zip(*task.data))
        self._gradients = vmap(grad(self._loss))

    def round(self, jobs: Sequence[Job]) -> None:
        """Train all of the jobs, and take the mean of all models by samples."""
        clients = torch.tensor([job.client for job in jobs], device=self._x.device)
        share = torch.tensor([float(job.examples) for job in jobs], device=self._x.device)
        share /= share.sum()
        stack = {name: w.expand(len(jobs), *w.shape).clone() for name, w in self._w.items()}
        size = self._task.batch_size
        for x, labels in zip(self._x[clients].split(size, 1), self._y[clients].split(size, 1)):
            for name, gradient in self._gradients(stack, x, labels).items():
                stack[name].sub_(gradient, alpha=self._task.lr)
        self._w = {name: torch.tensordot(share, models, 1) for name, models in stack.items()}

    def _loss(self, w: dict[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(functional_call(self._module, w, (x,)), labels)

    def model(self) -> Tensor:
        """The model after the rounds so far."""
        return parameters_to_vector(self._w.values())
