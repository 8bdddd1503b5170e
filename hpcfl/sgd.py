"""SGD as the clients take it: torch.optim.SGD's own arithmetic, bit for bit, without its frame.

The frame of every torch.optim optimizer imports PyTorch's compiler: more than a second and 150 MB in each rank, and
some tens of microseconds at every step. None of it serves a client that steps and forgets. On a GPU it is torch's fused
SGD, unless `foreach` or `fused` say otherwise: a model of many tensors takes one kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

__all__ = ["SGD"]


class SGD:
    """The arguments, `param_groups` (one) and `state` of torch.optim.SGD; ValueError for the values that it refuses."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ):
        for name, value in (("learning rate", lr), ("momentum value", momentum), ("weight_decay value", weight_decay)):
            if value < 0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if fused and foreach:
            raise ValueError("fused and foreach cannot both be true")
        parameters = list(parameters)
        self._kinds = {"foreach": foreach, "fused": fused}
        # one kernel over all parameters; and it takes a learning rate that lies on the GPU
        self._fuses = foreach is None and fused is None and all(p.is_cuda and p.is_contiguous() for p in parameters)
        self.param_groups: list[dict[str, Any]] = [
            {
                "params": parameters,
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            }
        ]
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step on every parameter that has a gradient."""
        settings = dict(self.param_groups[0])
        parameters = [parameter for parameter in settings.pop("params") if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        buffers = [self.state.get(parameter, {}).get("momentum_buffer") for parameter in parameters]
        sparse = any(gradient.is_sparse for gradient in gradients)
        kinds = {"fused": True} if self._fuses and not sparse else self._kinds
        sgd(parameters, gradients, buffers, has_sparse_grad=sparse, **kinds, **settings)
        if settings["momentum"]:
            for parameter, buffer in zip(parameters, buffers):
                self.state[parameter] = {"momentum_buffer": buffer}
