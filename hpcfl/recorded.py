"""Programs of many clients on a GPU: their step over memory that stands still, as a graph where it can be captured.

The same computation as in `batched`, with the stack as the one parameter of the optimizer: its update is one kernel for
all clients. How many samples of a batch are real is known to the device alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hpcfl.batched import Batched, Task
from hpcfl.captured import LENGTHS, Graph, Recording, obstacle, standing, state_of, zero
from hpcfl.core import first_line
from hpcfl.pinned import upload
from hpcfl.stacked import Forward, leaves
from hpcfl.training import Trainer

__all__ = ["RecordedBatched", "Step", "program", "recordable"]


class Step:
    """One step of a program of K clients on the rows of `stack` (K, P)."""

    def __init__(self, batched: RecordedBatched, stack: Tensor, graph: Graph | None):
        trainer, clients = batched.trainer, len(stack)
        self._trainer, self._forward, self._smoothing = trainer, Forward(trainer.module), batched.smoothing
        self._places = torch.zeros(clients, trainer.batch_size, dtype=torch.int64, device=trainer.device)
        self._counts = torch.full((clients,), trainer.batch_size, device=trainer.device)
        self.losses = torch.zeros(clients, dtype=torch.float64, device=trainer.device)
        """Sum of each client's training loss over the samples it has seen."""
        self._leaves = leaves(trainer.layout, stack)
        self._stack = stack.detach()
        self._stack.grad = torch.zeros_like(stack)
        self._optimizer = standing(trainer.recipe.optimizer([self._stack]), trainer.device)
        self.recording = Recording(self._compute, self._written, graph)

    def begin(self, lr: float) -> None:
        """A new program: nothing was seen, and the optimizer has made no step."""
        self.losses.zero_()
        zero(self._optimizer, lr)

    def make(self, places: Tensor, counts: Tensor) -> None:
        """Train on the samples at `places` (K, B), of which the first counts (K,) of each row are real."""
        self._places.copy_(places)
        self._counts.copy_(counts)
        self.recording.run()

    def _compute(self) -> None:
        size = self._places.shape
        x, labels = self._trainer.samples.batch(self._places.flatten())
        logits = self._forward(self._leaves, x.unflatten(0, size))
        each = cross_entropy(logits.flatten(0, 1), labels, reduction="none", label_smoothing=self._smoothing).view(size)
        real = torch.arange(size[1], device=each.device) < self._counts[:, None]
        loss = (each * real).sum(1) / self._counts.clamp(min=1)
        grads = torch.autograd.grad(loss.sum(), list(self._leaves.values()))
        torch.cat([grad.flatten(1) for grad in grads], 1, out=self._stack.grad)
        self._optimizer.step()
        self.losses.add_(loss.detach() * self._counts)

    def _written(self) -> list[Tensor]:
        return [self._stack, self.losses, *state_of(self._optimizer)]


class RecordedBatched(Batched):
    """As `Batched`, with every program's step recorded; for losses that are plain cross entropy."""

    def __init__(self, trainer: Trainer, size: int):
        super().__init__(trainer, size)
        self.trainer, self.smoothing = trainer, self._smoothing
        self._graph: Callable[[], Graph] | None = None
        self._steps: dict[tuple[int, int], Step] = {}

    def _run(self, tasks: list[Task], losses: Tensor, program: int) -> Tensor:
        stack = self._filled(program, [task.wanted.w for task in tasks])
        step = self._step(program, stack)
        step.begin(tasks[0].client.lr)
        places, counts = self._plan(tasks)
        weights, last = upload(counts, self.trainer.device), (counts > 0).sum(1) - 1
        ended: dict[int, Tensor] = {}
        for number in range(counts.shape[1]):
            step.make(places[:, number], weights[:, number])
            if number + 1 < counts.shape[1]:
                ended |= {row: stack[row].clone() for row in (last == number).nonzero()[0].tolist()}
        for row, result in ended.items():
            stack[row] = result
        losses.index_add_(0, upload(np.array([task.row for task in tasks]), self.trainer.device), step.losses)
        self._credit(tasks, stack, counts)
        return stack

    def _step(self, program: int, stack: Tensor) -> Step:
        key = program, len(stack)
        if key not in self._steps:
            graph = self._graph() if self._graph and len(self._steps) < LENGTHS else None
            self._steps[key] = Step(self, stack, graph)
        return self._steps[key]

    def record(self, graph: Callable[[], Graph] | None, w: Tensor | None = None) -> str | None:
        """Make steps by such graphs from now on, or call by call; with a model to try it on, why it cannot be."""
        self._graph, failure = graph, None
        self._steps.clear()
        if w is not None:
            self._module.train()
            try:
                failure = self._step(0, self._filled(0, [w] * min(self.size, 2))).recording.failure
            except Exception as raised:
                failure = raised
        return None if failure is None else first_line(failure)


def recordable(batched: Batched) -> bool:
    """Whether a program's step looks at nothing of its clients but their samples, and its optimizer can stand still."""
    optimizer = batched._trainer.recipe.optimizer([torch.zeros(1)])
    return batched._smoothing is not None and not batched._corrects and obstacle(optimizer) is None


def program(trainer: Trainer, size: int) -> Batched:
    """Programs of at most `size` clients, as suits the device."""
    batched = Batched(trainer, size)
    return RecordedBatched(trainer, size) if trainer.device.type == "cuda" and recordable(batched) else batched
