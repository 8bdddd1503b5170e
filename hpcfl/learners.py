"""Several models of one client, trained on the same batches, each with weights of its own for the samples.

On a CPU small ones are one program, as in `batched`: K models of one batch take little longer than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from hpcfl.pinned import upload
from hpcfl.stacked import leaves, smoothing

if TYPE_CHECKING:
    from hpcfl.client import Client

__all__ = ["Learners", "each", "mean_loss"]


class Learners:
    """What a `training.Fit` can do with the K rows of a (K, P) tensor."""

    def losses(self, w: Tensor) -> Tensor:
        """(K, examples) each model's loss on each of the client's training samples, in eval mode."""
        trainer, client = self._trainer, self.client
        trainer.module.eval()
        found = [[] for _ in w]
        with torch.no_grad():
            for batch in client.index.split(trainer._test_batch_size):
                x, labels = trainer.samples.batch(batch)
                for row, vector in zip(found, w):
                    trainer.bind(vector)
                    row.append(each(trainer.strategy, trainer.module(x), labels, client))
        trainer.module.train()
        return torch.stack([torch.cat(row) for row in found])

    def together(self, w: Tensor, weights: Tensor, *, epochs: int | None = None) -> Tensor:
        """(K, P): copies of the models, each trained on mean(weight * loss) of the same batches.

        `weights` (K, examples) are the samples' in the order of `client.index`. A step of all K counts as one, and a
        sample's loss is the sum over them. `epochs`: other than the job's own.
        """
        result, batches = w.clone(), self._dealt(self.client.epochs if epochs is None else epochs)
        if self._trainer.stacks:
            self._as_one(result, weights, batches)
        else:
            self._one_by_one(result, weights, batches)
        return result

    def _dealt(self, epochs: int) -> list[Tensor]:
        """The batches of some epochs: places among the client's own samples."""
        trainer, count = self._trainer, self.client.examples
        order = torch.arange(count, device=trainer.device)
        batches: list[Tensor] = []
        for _ in range(epochs):
            if trainer.recipe.shuffle:
                order = upload(self._batches.permutation(count), trainer.device)
            batches += order.split(trainer.batch_size)
        return batches

    def _one_by_one(self, result: Tensor, weights: Tensor, batches: list[Tensor]) -> None:
        trainer, client, steps, examples = self._trainer, self.client, self.steps, self.examples
        for vector, own in zip(result, weights):
            self._start = vector[: trainer.layout.trainable].clone()
            optimizer = trainer.prepare(vector, client.lr)
            for batch in batches:
                self.step(client.index[batch], vector, optimizer, own[batch])
        self.steps, self.examples = steps + len(batches), examples + sum(map(len, batches))

    def _as_one(self, result: Tensor, weights: Tensor, batches: list[Tensor]) -> None:
        trainer, client = self._trainer, self.client
        own = leaves(trainer.layout, result)
        optimizer = trainer.recipe.optimizer(list(own.values()))
        for group in optimizer.param_groups:
            group["lr"] = client.lr
        for batch in batches:
            x, labels = trainer.samples.batch(client.index[batch])
            logits = vmap(lambda one, x=x: functional_call(trainer.module, one, (x,)))(own)
            found = each(trainer.strategy, logits.flatten(0, 1), labels.repeat(len(result)), client)
            loss = (found.view(len(result), -1) * weights[:, batch]).mean(1).sum()
            for leaf, grad in zip(own.values(), torch.autograd.grad(loss, list(own.values()))):
                leaf.grad = grad
            optimizer.step()
            self.loss.add_(loss.detach(), alpha=len(batch))
        self.steps += len(batches)
        self.examples += sum(map(len, batches))


def mean_loss(strategy: Any, logits: Tensor, labels: Tensor, client: Client, weights: Tensor | None) -> Tensor:
    """The algorithm's loss of a batch, or its mean over the samples' weighted losses where they have weights."""
    if weights is None:
        return strategy.loss(logits, labels, client)
    return (each(strategy, logits, labels, client) * weights).mean()


def each(strategy: Any, logits: Tensor, labels: Tensor, client: Client) -> Tensor:
    """(B,) the algorithm's loss of each sample by itself."""
    if (smooth := smoothing(strategy, client.loss)) is not None:
        return cross_entropy(logits, labels, reduction="none", label_smoothing=smooth)
    return vmap(lambda one, label: strategy.loss(one[None], label[None], client))(logits, labels)
