"""A model is one vector: where each tensor of an architecture lies in it, and how a module is bound to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Entry", "Layout", "largest"]

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Normalisation layers: batch and instance norm of all dimensions, layer, group and RMS norm."""


@dataclass(frozen=True)
class Entry:
    """One tensor of the model: `vector[offset : offset + size].view(shape)`."""

    name: str
    shape: tuple[int, ...]
    offset: int
    kind: str
    """parameter (trained), buffer (averaged, not trained), or constant (neither: not in the vector)."""
    norm: bool = False
    """Whether it belongs to a normalisation layer."""

    @property
    def size(self) -> int:
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Layout:
    """Names, shapes and places of a model's tensors, the trainable ones first; derived once per architecture."""

    entries: tuple[Entry, ...]
    size: int
    """P: length of the vector."""
    trainable: int
    """The first so many elements are trained; behind them lie frozen parameters and floating-point buffers."""

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of `module`, from its state_dict: buffers that are not saved with a model are not part of it.

        Integer buffers (BatchNorm's num_batches_tracked) are constants. A tensor that has two names (tied weights)
        lies in the vector once.
        """
        seen: dict[int, tuple[int, str]] = {}
        state = module.state_dict(keep_vars=True)
        trained = [name for name, tensor in state.items() if tensor.requires_grad]
        carried = [name for name, tensor in state.items() if not tensor.requires_grad and tensor.is_floating_point()]
        places: dict[str, tuple[int, str]] = {}
        offset = trainable = 0
        for kind, names in (("parameter", trained), ("buffer", carried)):
            for name in names:
                tensor = state[name]
                if id(tensor) not in seen:
                    seen[id(tensor)] = (offset, kind)
                    offset += tensor.numel()
                places[name] = seen[id(tensor)]
            if kind == "parameter":
                trainable = offset
        norms = {name for name, part in module.named_modules() if isinstance(part, NORMS)}
        entries = [
            Entry(name, tuple(tensor.shape), *places.get(name, (-1, "constant")), name.rpartition(".")[0] in norms)
            for name, tensor in state.items()
        ]
        return cls(tuple(entries), offset, trainable)

    def pack(self, module: nn.Module) -> Tensor:
        """(P,) float32: a copy of the module's tensors."""
        vector = torch.empty(self.size)
        state = module.state_dict()
        for name, view in self.views(vector).items():
            view.copy_(state[name])
        return vector

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The tensors of a vector (P,) by name, or of a stack (..., P) of them, sharing its memory."""
        return {
            entry.name: vector[..., entry.offset : entry.offset + entry.size].view((*vector.shape[:-1], *entry.shape))
            for entry in self.entries
            if entry.kind != "constant"
        }

    def bind(self, module: nn.Module, vector: Tensor, grad: Tensor | None = None) -> None:
        """Make the module's parameters and buffers views of `vector`, its gradients views of `grad` (trainable,)."""
        state = module.state_dict(keep_vars=True)
        for name, view in self.views(vector).items():
            state[name].data = view
        if grad is not None:
            for entry in self.entries:
                if entry.kind == "parameter":
                    state[entry.name].grad = grad[entry.offset : entry.offset + entry.size].view(entry.shape)


def largest(tensor: Tensor, enough: float = 0.0) -> float:
    """The largest magnitude in a tensor, NaN or infinity where it holds one; any bound of it that is below `enough`."""
    flat = tensor.detach().reshape(-1).float()
    norm = torch.linalg.vector_norm(flat).item()  # half the time of the exact answer, and nearly always enough
    if norm < enough:
        return norm
    low, high = flat.aminmax()
    return math.nan if math.isnan(high.item()) else max(-low.item(), high.item())
