"""Linear layers of many models as one multiplication, also in the gradients.

`vmap` turns a linear layer into a batched product whose gradient PyTorch multiplies the other way round, transposed:
for a layer with few outputs that takes a CPU ten times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

__all__ = ["StackedLinear"]


class StackedLinear(TorchFunctionMode):
    """Inside `vmap` and this mode, `torch.nn.functional.linear` is done for all models at once."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is not linear:
            return function(*args, **(kwargs or {}))
        return one_model(*args, **(kwargs or {}))


def one_model(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` as each of the models sees it."""
    return OneModel.apply(input, weight, bias)


class OneModel(torch.autograd.Function):
    """Stands where a model has its linear layer; `vmap` replaces it by that of all models."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        """Nothing is kept: gradients are those of `AllModels`."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None) -> tuple[Tensor, int]:
        stacks = [
            tensor if tensor is None else
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(inputs, in_dims)
        ]  # fmt: skip
        return AllModels.apply(*stacks), 0


class AllModels(torch.autograd.Function):
    """x (K, ..., I), weight (K, O, I), bias (K, O) or None -> (K, ..., O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        rows = x.reshape(len(x), -1, x.shape[-1])
        across = weight.transpose(1, 2)
        out = torch.bmm(rows, across) if bias is None else torch.baddbmm(bias[:, None], rows, across)
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grads = x.reshape(len(x), -1, x.shape[-1]), grad.reshape(len(x), -1, grad.shape[-1])
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            torch.bmm(grads, weight).view(x.shape) if for_x else None,
            torch.bmm(grads.transpose(1, 2), rows) if for_weight else None,
            grads.sum(1) if for_bias else None,
        )
