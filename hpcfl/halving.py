"""A job for which memory is short, tried once more with its batches in halves: about half the memory for activations.

Gradients of the halves add up to that of the batch, but for rounding and for layers that look at the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hpcfl.core import Job
from hpcfl.training import Fit, Trainer

__all__ = ["Halved", "attempt"]

SHORT = ("can't allocate memory", "not enough memory", "out of memory")
"""What PyTorch says where a CPU has no more memory, in an error of no type of its own."""


class Halved(Fit):
    """A `fit` that computes every batch in two parts; of several learners each by itself."""

    _as_one = Fit._one_by_one

    def _differentiate(self, index: Tensor, weights: Tensor | None, share: Tensor | None = None) -> None:
        parts = index.chunk(2)
        for part, own in zip(parts, weights.chunk(2) if weights is not None else [None] * len(parts)):
            share = torch.tensor(len(part) / len(index), device=self._trainer.device)
            super()._differentiate(part, own, share)


def attempt(trainer: Trainer, job: Job, sent: dict[str, Tensor]) -> tuple[dict[str, Tensor], Fit]:
    """`Trainer.train`; where memory is short, and the job says so (`client.out_of_memory`), once more in halves."""
    try:
        return trainer.train(job, sent)
    except Exception as failure:
        if not (trainer.splits and is_short_of_memory(failure)):
            raise
    # only here is the failure gone, and with it what its frames held
    if trainer.device.type == "cuda":
        torch.cuda.empty_cache()
    return trainer.train(job, sent, again=Halved)


def is_short_of_memory(failure: Exception) -> bool:
    """Whether that is what went wrong, on a GPU or a CPU."""
    said: Any = str(failure).lower()
    short = isinstance(failure, RuntimeError) and any(words in said for words in SHORT)
    return short or isinstance(failure, torch.OutOfMemoryError | MemoryError)
