"""Local training and evaluation: one module per rank, bound to whichever vector is at work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpcfl.core import Job, World
from hpcfl.rng import seed64, stream

__all__ = ["Client", "Fit", "Recipe", "Samples", "Trainer"]

Loss = Callable[[Tensor, Tensor], Tensor]


class Samples:
    """A dataset that sits on the device; uint8 images are normalised there, batch by batch."""

    def __init__(self, x: np.ndarray, y: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], device: Any):
        self.x = torch.from_numpy(np.require(x, requirements=["C", "W"])).to(device)
        self.y = torch.from_numpy(np.require(y, np.int64, ["C", "W"])).to(device)
        per_channel = (len(std),) + (1,) * (self.x.dim() - 2)
        deviation = torch.tensor(std, device=device).view(per_channel)
        self._scale = 1 / (255 * deviation)
        self._shift = torch.tensor(mean, device=device).view(per_channel) / deviation

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Samples (B, ...) float32 and labels (B,)."""
        x = self.x[index]
        return (x * self._scale - self._shift if x.dtype == torch.uint8 else x), self.y[index]


@dataclass(frozen=True)
class Recipe:
    """How a client trains: what the job's sections `client` and `data.transform` were built into."""

    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    loss: Loss
    rates: tuple[float, ...]
    """Learning rate of each server step."""
    transform: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Client:
    """A client at work on one job, as a strategy's hooks see it."""

    id: int
    version: int
    """The server step whose model it starts from."""
    index: Tensor
    """(examples,) its places in the training set."""
    counts: np.ndarray
    """(classes,) its samples of each class."""
    epochs: int
    lr: float
    loss: Loss
    """The job's loss(logits, labels)."""
    seed: int

    @property
    def examples(self) -> int:
        """Number of its training samples."""
        return len(self.index)

    def stream(self, purpose: str) -> np.random.Generator:
        """This job's own random numbers for `purpose`, the same on any rank."""
        return stream(self.seed, "client", self.id, self.version, purpose)


class Fit:
    """`fit(w)`: train a copy of the vector `w` on the client's data, and return the result."""

    def __init__(self, trainer: Trainer, client: Client, sent: dict[str, Tensor]):
        self.steps = 0
        """Optimizer steps made so far, over all calls."""
        self.examples = 0
        """Samples seen so far."""
        self.loss = torch.zeros((), dtype=torch.float64, device=trainer.device)
        """Sum of the training loss over the samples seen."""
        self._trainer, self._client, self._sent = trainer, client, sent
        self._batches = client.stream("batches")
        self._calls = 0

    def __call__(self, w: Tensor, *, epochs: int | None = None) -> Tensor:
        """The trained vector (P,), valid until the job ends. `epochs`: other than the job's own."""
        trainer, client = self._trainer, self._client
        vector, parameter = trainer.workspace(self._calls)
        self._calls += 1
        vector.copy_(w)
        optimizer = trainer.prepare(vector, parameter, client.lr)
        for _ in range(client.epochs if epochs is None else epochs):
            order = torch.from_numpy(self._batches.permutation(client.examples)).to(client.index.device)
            for index in client.index[order].split(trainer.batch_size):
                self.step(index, parameter, optimizer)
        return vector

    def step(self, index: Tensor, parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        """One optimizer step on the samples at `index`."""
        trainer, client = self._trainer, self._client
        x, labels = trainer.samples.batch(index)
        if trainer.recipe.transform:
            x = trainer.recipe.transform(x)
        trainer.grad.zero_()
        loss = trainer.strategy.loss(trainer.module(x), labels, client)
        loss.backward()
        trainer.strategy.correct(trainer.grad, parameter.data, self._sent, client)
        optimizer.step()
        self.loss.add_(loss.detach(), alpha=len(index))
        self.examples += len(index)
        self.steps += 1


class Trainer:
    """A rank's one module with its work space, its samples and its optimizer."""

    def __init__(
        self,
        world: World,
        strategy: Any,
        module: nn.Module,
        recipe: Recipe,
        samples: Samples | None,
        parts: list[np.ndarray],
        device: torch.device,
    ):
        self.module, self.layout, self.device = module.to(device), world.layout, device
        self.strategy, self.recipe, self.samples = strategy, recipe, samples
        self.batch_size = world.batch_size
        self.grad = torch.zeros(self.layout.trainable, device=device)
        self._world, self._parts = world, parts
        self._spaces: list[tuple[Tensor, nn.Parameter]] = []
        self._bound: Tensor | None = None
        self._constants = [(tensor, tensor.clone()) for tensor in module.buffers() if not tensor.is_floating_point()]
        self.layout.bind(module, world.initial.to(device, copy=True), self.grad)
        self._optimizer = recipe.optimizer([self.workspace(0)[1]])

    def train(self, job: Job, sent: dict[str, Tensor]) -> tuple[dict[str, Tensor], Fit]:
        """What the job uploads, valid until the next job, and its counts of steps, samples and loss."""
        client = self.client(job)
        torch.random.default_generator.manual_seed(seed64(client.seed, "client", job.client, job.version, "torch"))
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed64(client.seed, "client", job.client, job.version, "cuda"))
        for tensor, first in self._constants:
            tensor.copy_(first)
        self.module.train()
        fit = Fit(self, client, sent)
        return self.strategy.local(fit, sent, client), fit

    def client(self, job: Job) -> Client:
        """The client of a job, with its data."""
        rates = self.recipe.rates
        return Client(
            id=job.client,
            version=job.version,
            index=torch.from_numpy(self._parts[job.client]).to(self.device),
            counts=self._world.counts[job.client],
            epochs=job.epochs,
            lr=rates[min(job.version, len(rates) - 1)],
            loss=self.recipe.loss,
            seed=self._world.seed,
        )

    def workspace(self, number: int) -> tuple[Tensor, nn.Parameter]:
        """A vector to train in, and its trainable part as the optimizer's one parameter: one per call of `fit`."""
        while len(self._spaces) <= number:
            vector = torch.empty(self.layout.size, device=self.device)
            parameter = nn.Parameter(vector[: self.layout.trainable])
            parameter.grad = self.grad
            self._spaces.append((vector, parameter))
        return self._spaces[number]

    def prepare(self, vector: Tensor, parameter: nn.Parameter, lr: float) -> torch.optim.Optimizer:
        """The optimizer as new, with the module bound to `vector`."""
        self._bind(vector)
        self._optimizer.state.clear()
        self._optimizer.param_groups[0].update(params=[parameter], lr=lr)
        return self._optimizer

    def evaluate(self, w: Tensor, samples: Samples, batch_size: int) -> tuple[float, float]:
        """Mean loss and accuracy of a copy of `w`, in eval mode: training is bitwise the same without it."""
        copy = w.to(self.device, copy=True)
        self.module.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.no_grad():
            for begin in range(0, len(samples), batch_size):
                x, labels = samples.batch(slice(begin, begin + batch_size))
                logits = self.strategy.predict(lambda vector, x=x: self._forward(vector, x), copy)
                loss.add_(self.recipe.loss(logits, labels), alpha=len(labels))
                right.add_((logits.argmax(1) == labels).sum())
        return loss.item() / len(samples), right.item() / len(samples)

    def _forward(self, vector: Tensor, x: Tensor) -> Tensor:
        self._bind(vector)
        return self.module(x)

    def _bind(self, vector: Tensor) -> None:
        if self._bound is not vector:
            self.layout.bind(self.module, vector)
            self._bound = vector


def largest(tensor: Tensor) -> float:
    """The largest magnitude in a tensor; NaN or infinity where it holds one."""
    low, high = tensor.aminmax()
    return math.nan if math.isnan(high.item()) else max(-low.item(), high.item())
