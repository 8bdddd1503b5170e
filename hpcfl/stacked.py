"""What it takes to compute many models at once: their parameters, their forward passes, their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpcfl.strategies import FedAvg

if TYPE_CHECKING:
    from hpcfl.flat import Layout

__all__ = ["Forward", "leaves", "smoothing"]

ELEMENTWISE = (nn.Identity, nn.ReLU, nn.Tanh, nn.Sigmoid)


def leaves(layout: Layout, stack: Tensor) -> dict[str, Tensor]:
    """The parameters of all models of a stack (K, P) by name, (K, ...) in its memory, to be differentiated by."""
    return {name: view.detach().requires_grad_() for name, view in layout.views(stack).items()}


def smoothing(strategy: Any, loss: Any) -> float | None:
    """The label smoothing, where an algorithm's loss is the job's and that is cross entropy with no more to it."""
    plain = type(strategy).loss is FedAvg.loss and isinstance(loss, nn.CrossEntropyLoss)
    return loss.label_smoothing if plain and loss.weight is None and loss.reduction == "mean" else None


class Forward:
    """What K models of one architecture make of a batch each: (K, B, ...) from parameters and samples with K in front.

    Fully connected layers one behind the other are a product of matrices each; all else goes through `vmap`, whose
    frame takes a small model longer than its numbers do.
    """

    def __init__(self, module: nn.Module):
        self._module = module
        self._layers = chain(module)

    def __call__(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        if self._layers is None:
            return vmap(lambda own, batch: functional_call(self._module, own, (batch,)))(parameters, x)
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                x = linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))
            else:
                x = x.flatten(2) if isinstance(layer, nn.Flatten) else layer(x)
        return x


def chain(module: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """(name, layer) of a sequence of fully connected layers, or None where the module is anything else."""
    if type(module).forward is not nn.Sequential.forward:
        return None
    layers = list(module.named_children())
    flat = [type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1) for _, layer in layers]
    known = all(each or type(layer) in (nn.Linear, *ELEMENTWISE) for each, (_, layer) in zip(flat, layers))
    return layers if known else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(K, ..., outputs): K linear layers, each with its own input (K, ..., inputs).

    The first of a model, whose input needs no gradient, is multiplied the other way round, as weight x input: its
    weight's gradient is then made without transposing, which takes logistic regression a third less time.
    """
    rows = x.flatten(1, -2)
    if x.requires_grad:
        out = rows @ weight.mT if bias is None else torch.baddbmm(bias[:, None], rows, weight.mT)
    else:
        out = (weight @ rows.mT if bias is None else torch.baddbmm(bias[..., None], weight, rows.mT)).mT
    return out.unflatten(1, x.shape[1:-1])
