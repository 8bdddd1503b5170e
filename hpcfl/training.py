"""Local training and evaluation: one module per rank, bound to whichever vector is at work."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpcfl.client import Client, Recipe
from hpcfl.core import Job, World
from hpcfl.flat import Layout
from hpcfl.home import Homes
from hpcfl.learners import Learners, mean_loss
from hpcfl.pinned import upload
from hpcfl.rng import seed64
from hpcfl.samples import Samples
from hpcfl.strategies import FedAvg
from hpcfl.sums import patience

__all__ = ["Client", "Fit", "Recipe", "Trainer"]

EXAMINED = -1
"""Stands for the visit where a client's model is examined: its random numbers are no job's."""


class Fit(Learners):
    """`fit(w)`: train a copy of the vector `w` on the client's data, and return the result."""

    def __init__(self, trainer: Trainer, client: Client, sent: dict[str, Tensor]):
        self.steps = 0
        """Optimizer steps made so far, over all calls."""
        self.examples = 0
        """Samples seen so far."""
        self.loss = torch.zeros((), dtype=torch.float64, device=trainer.device)
        """Sum of the training loss over the samples seen."""
        self.measures = True
        """Whether that is known: a Flower client may keep it to itself."""
        self.client = client
        self._trainer, self._sent = trainer, sent
        self._batches = client.stream("batches")
        self._calls = 0
        self._start = torch.empty(0)

    def __call__(self, w: Tensor, *, epochs: int | None = None) -> Tensor:
        """The trained vector (P,), valid until the job ends. `epochs`: other than the job's own."""
        trainer, client = self._trainer, self.client
        vector = trainer.workspace(self._calls)
        self._calls += 1
        vector.copy_(w)
        self._start = w[: trainer.layout.trainable]
        optimizer = self._prepare(vector)
        for _ in range(client.epochs if epochs is None else epochs):
            index = client.index
            if trainer.recipe.shuffle:
                index = index[upload(self._batches.permutation(client.examples), trainer.device)]
            for batch in index.split(trainer.batch_size):
                self.step(batch, vector, optimizer)
        return vector

    def risk(self, w: Tensor) -> float:
        """Mean loss of `w` on the client's training samples, in eval mode; nothing is trained."""
        return self._trainer.risk(w, self.client)

    def _prepare(self, vector: Tensor) -> torch.optim.Optimizer:
        return self._trainer.prepare(vector, self.client.lr)

    def step(
        self, index: Tensor, vector: Tensor, optimizer: torch.optim.Optimizer, weights: Tensor | None = None
    ) -> None:
        """One optimizer step on the samples at `index`, each with its weight in the mean where `weights` are given."""
        trainer = self._trainer
        if trainer.grad is None:
            optimizer.zero_grad()
        else:
            trainer.grad.zero_()
        self._differentiate(index, weights)
        if trainer.grad is not None:
            trainer.strategy.correct(trainer.grad, vector[: len(trainer.grad)], self._start, self._sent, self.client)
        optimizer.step()
        self.examples += len(index)
        self.steps += 1

    def _differentiate(self, index: Tensor, weights: Tensor | None, share: Tensor | None = None) -> None:
        """Add the gradient of the samples' mean loss, or a share of it, and count the loss."""
        trainer, client = self._trainer, self.client
        x, labels = trainer.samples.batch(index)
        if trainer.recipe.transform:
            x = trainer.recipe.transform(x)
        loss = mean_loss(trainer.strategy, trainer.module(x), labels, client, weights)
        loss.backward(share)
        self.loss.add_(loss.detach(), alpha=len(index))


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
        held_out: list[np.ndarray] | None = None,
        test_batch_size: int = 500,
        others: Sequence[nn.Module] = (),
        test: Samples | None = None,
    ):
        """`others`: the modules of the family's further architectures. `test`: what the clients' own models are
        examined on, where there is a family, and so no other model to evaluate."""
        self.device, self.family = device, world.family
        self.strategy, self.recipe, self.samples = strategy, recipe, samples
        self.batch_size = world.batch_size
        self.fit: Callable[[Trainer, Client, dict[str, Tensor]], Fit] = Fit
        """Makes the `fit` of a job: another one where its steps are captured."""
        self.begin: Callable[[Sequence[Job]], None] = lambda jobs: None
        """Called with all jobs of an order before this rank trains its own."""
        self.splits = False
        """Whether a job for which memory is short is tried once more, in halves."""
        self.stacks = False
        """Whether the learners of a client are trained as one program."""
        self._world, self._parts, self._held_out, self._test = world, parts, held_out, test
        self.figures = 4 if self.family else 2
        """Numbers that `examine` finds."""
        first, each = {"w": world.initial.to(device)} if strategy.private else {}, []
        for name in (name for name, how in strategy.uploads.items() if how == "neighbours"):
            first[name] = strategy.init(world)[name].to(device)
        if self.family and strategy.private:
            firsts = [{"w": initial.to(device)} for initial in self.family.initials]
            each = [firsts[architecture] for architecture in self.family.of]
        self.homes = Homes(first, history=held_out is not None or self.family is not None, each=each)
        self._test_batch_size = test_batch_size
        counts = torch.from_numpy(world.everyone).to(device)
        self.holdings = [(torch.from_numpy(part).to(device), count) for part, count in zip(parts, counts)]
        """Each client's places in the training set, and its training samples of each class."""
        self._furnish_each([module, *others])

    def _furnish_each(self, modules: Sequence[nn.Module]) -> None:
        """With the first module; and another trainer for each further one, on the same samples and homes."""
        world, family = self._world, self.family
        layouts, initials = (family.layouts, family.initials) if family else ([world.layout], [world.initial])
        self._others = [copy.copy(self) for _ in modules[1:]]
        for version, module, layout, initial in zip(self.versions, modules, layouts, initials):
            version._furnish(module.to(self.device), layout, initial)

    def _furnish(self, module: nn.Module, layout: Layout, initial: Tensor) -> None:
        """The module, and all that is written while it trains."""
        self.module, self.layout = module, layout
        # Gradients lie in one vector only for a strategy that looks at them: it costs 3 % of a small CNN's step.
        corrects = type(self.strategy).correct is not FedAvg.correct
        self.grad = torch.zeros(self.layout.trainable, device=self.device) if corrects else None
        self._spaces: dict[tuple[int, int], Tensor] = {}
        self._turn, self._turns = 0, patience(self.layout.size, self.device)
        self._bound: Tensor | None = None
        self._tried: tuple[Tensor, tuple[float, float]] | None = None
        carried = self.layout.views(initial)
        self._constants = [(tensor, tensor.clone()) for name, tensor in module.named_buffers() if name not in carried]
        self.layout.bind(module, initial.to(self.device, copy=True), self.grad)
        self._optimizer = self.optimizer()

    def twin(self) -> Trainer:
        """Another one on the same samples, which can train at the same time: on a stream of its own."""
        other = copy.copy(self)
        other._furnish_each([copy.deepcopy(each.module) for each in self.versions])
        return other

    @property
    def versions(self) -> list[Trainer]:
        """One for each architecture; this is the first."""
        return [self, *self._others]

    def of(self, client: int) -> Trainer:
        """That of the client's architecture."""
        number = self.family.of[client] if self.family else 0
        return self._others[number - 1] if number else self

    @property
    def stay(self) -> int:
        """So many jobs in a row have work space of their own."""
        return min(version._turns for version in self.versions)

    def optimizer(self) -> torch.optim.Optimizer:
        """A new one of the module's trained parameters."""
        return self.recipe.optimizer([parameter for parameter in self.module.parameters() if parameter.requires_grad])

    def train(self, job: Job, sent: dict[str, Tensor], again: type[Fit] | None = None) -> tuple[dict[str, Tensor], Fit]:
        """What the job uploads, and its counts of steps, samples and loss.

        The uploads are valid until `stay` more were trained. `again`: it is tried once more, by this other `fit`.
        """
        version = self.of(job.client)
        version._turn = (version._turn + (again is None)) % version._turns
        client = version.client(job, self.homes.begin(job.client, again=again is not None))
        fit = version._begin(client, sent, again)
        return self.strategy.local(fit, sent, client), fit

    def keep(self, fit: Fit) -> None:
        """The job is good: what its client put into its state stays at home. ValueError where that is not finite."""
        if self.strategy.private:
            self.homes.keep(fit.client.id, fit.client.state)

    def examine(self, job: Job, sent: dict[str, Tensor], after: int) -> tuple[float, ...]:
        """Loss and accuracy of the client's own model on its held-out share, as it stands `after` so many of its jobs;
        where there is a family, also on the test set.

        `job` says which client, and from which server step's model. NaN for a client that holds nothing back.
        """
        index = torch.from_numpy(self._held_out[job.client]).to(self.device) if self._held_out else ()
        if not len(index) and not self.family:
            return math.nan, math.nan
        version = self.of(job.client)
        client = version.client(replace(job, visit=EXAMINED), self.homes.after(job.client, after))
        w = self.strategy.personal(version._begin(client, sent), sent, client)
        size = self._test_batch_size
        own = version.evaluate(w, self.samples, size, index) if len(index) else (math.nan, math.nan)
        return own + version._on_test_set(w) if self.family else own

    def _on_test_set(self, w: Tensor) -> tuple[float, float]:
        """Of a client's own model; clients of an architecture often have the very same, which is tried once."""
        if self._tried is None or not torch.equal(self._tried[0], w):
            self._tried = w.clone(), self.evaluate(w, self._test, self._test_batch_size)
        return self._tried[1]

    def _begin(self, client: Client, sent: dict[str, Tensor], fit: type[Fit] | None = None) -> Fit:
        """The module as it was at first but for its vector, in training mode, with the job's own random numbers."""
        self.seed(client)
        for tensor, first in self._constants:
            tensor.copy_(first)
        if not self.module.training:  # it goes through all of its parts
            self.module.train()
        return (fit or self.fit)(self, client, sent)

    def seed(self, client: Client) -> None:
        """Begin torch's own random numbers of the client's job."""
        key = client.id, client.version, client.visit
        torch.random.default_generator.manual_seed(seed64(client.seed, "client", *key, "torch"))
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed64(client.seed, "client", *key, "cuda"))

    def client(self, job: Job, state: dict[str, Tensor]) -> Client:
        """The client of a job, with its data and what it has at home."""
        index, counts = self.holdings[job.client]
        begin, end = self._world.span(job.client, job.version, job.visit)
        return Client(
            id=job.client,
            version=job.version,
            visit=job.visit,
            index=index if end - begin == len(index) else index[begin:end],
            counts=counts,
            epochs=job.epochs,
            lr=self.rate(job),
            loss=self.recipe.loss,
            seed=self._world.seed,
            layout=self.layout,
            state=state,
            pieces=self.family.pieces[self.family.of[job.client]] if self.family else None,
        )

    def rate(self, job: Job) -> float:
        """The job's learning rate: its own, or that of the server step that it starts from."""
        rates = self.recipe.rates
        return rates[min(job.version, len(rates) - 1)] if job.lr is None else job.lr

    def places(self, job: Job) -> np.ndarray:
        """(examples,) the job's places in the training set, which `Client.index` has on the device."""
        return self._parts[job.client][slice(*self._world.span(*job.key))]

    def workspace(self, number: int) -> Tensor:
        """A vector to train in: one per call of `fit`."""
        if (self._turn, number) not in self._spaces:
            self._spaces[self._turn, number] = torch.empty(self.layout.size, device=self.device)
        return self._spaces[self._turn, number]

    def prepare(self, vector: Tensor, lr: float) -> torch.optim.Optimizer:
        """The optimizer as new, with the module bound to `vector`."""
        self.bind(vector)
        self._optimizer.state.clear()
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        return self._optimizer

    def constants(self) -> dict[str, np.ndarray]:
        """The model's tensors that are not in its vector, by name, as they are now."""
        state = self.module.state_dict()
        constants = [entry.name for entry in self.layout.entries if entry.kind == "constant"]
        return {name: state[name].cpu().numpy().copy() for name in constants}

    def evaluate(
        self, w: Tensor, samples: Samples, batch_size: int, index: Tensor | None = None
    ) -> tuple[float, float]:
        """Mean loss and accuracy of a copy of `w` on the samples (at `index`), in eval mode.

        Training is bitwise the same without it.
        """
        copy = w.to(self.device, copy=True)
        self.module.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.no_grad():
            count = len(samples) if index is None else len(index)
            for begin in range(0, count, batch_size):
                place = slice(begin, begin + batch_size)
                x, labels = samples.batch(place if index is None else index[place])
                logits = self.strategy.predict(lambda vector, x=x: self._forward(vector, x), copy)
                loss.add_(self.recipe.loss(logits, labels), alpha=len(labels))
                right.add_((logits.argmax(1) == labels).sum())
        return loss.item() / count, right.item() / count

    def risk(self, w: Tensor, client: Client) -> float:
        """Mean loss of `w` on a client's training samples, as `evaluate` has it; then on with its training."""
        loss, _ = self.evaluate(w, self.samples, self._test_batch_size, client.index)
        self.module.train()
        return loss

    def _forward(self, vector: Tensor, x: Tensor) -> Tensor:
        self.bind(vector)
        return self.module(x)

    def bind(self, vector: Tensor) -> None:
        """Let the module compute with `vector`, and train it."""
        if self._bound is not vector:
            self.layout.bind(self.module, vector)
            self._bound = vector
