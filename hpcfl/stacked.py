"""What it takes to compute many models at once: their parameters, their losses, and a linear layer that a CPU likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from hpcfl.strategies import FedAvg

if TYPE_CHECKING:
    from hpcfl.flat import Layout

__all__ = ["StackedLinear", "leaves", "smoothing"]


def leaves(layout: Layout, stack: Tensor) -> dict[str, Tensor]:
    """The parameters of all models of a stack (K, P) by name, (K, ...) in its memory, to be differentiated by."""
    return {name: view.detach().requires_grad_() for name, view in layout.views(stack).items()}


def smoothing(strategy: Any, loss: Any) -> float | None:
    """The label smoothing, where an algorithm's loss is the job's and that is cross entropy with no more to it."""
    plain = type(strategy).loss is FedAvg.loss and isinstance(loss, nn.CrossEntropyLoss)
    return loss.label_smoothing if plain and loss.weight is None and loss.reduction == "mean" else None


class StackedLinear(TorchFunctionMode):
    """Inside `vmap` and this mode, a model with a single linear layer computes it as weight x input, transposed.

    The usual input x weight has under `vmap` a weight gradient that is multiplied the other way round, which takes a
    step of logistic regression half as long again. In a hidden layer it is the input's gradient that would get slower.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self._single = sum(isinstance(part, nn.Linear) for part in module.modules()) == 1

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is linear and self._single:
            return transposed(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def transposed(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `torch.nn.functional.linear`, for an input of two dimensions or more."""
    if input.dim() < 2:
        return linear(input, weight, bias)
    out = (weight @ input.mT).mT
    return out if bias is None else out + bias
