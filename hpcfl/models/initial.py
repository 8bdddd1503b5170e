"""Where training begins: weights drawn by a rule of the job's choice instead of the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import init

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


def xavier(module: nn.Module, gain: Annotated[float, Gt(0)] = 1.0) -> None:
    """Normal with variance `gain`^2 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    _draw(module, lambda weight: init.xavier_normal_(weight, gain))


def kaiming(module: nn.Module) -> None:
    """Normal with variance 2 / fan_in, which keeps the scale of what passes ReLUs (He et al. 2015)."""
    _draw(module, lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"))


def normal(module: nn.Module, std: Annotated[float, Gt(0)] = 0.01) -> None:
    """Normal with deviation `std`: 0.01 as of old (Krizhevsky et al. 2012)."""
    _draw(module, lambda weight: init.normal_(weight, 0.0, std))


def _draw(module: nn.Module, rule: Callable[[Tensor], Tensor]) -> None:
    """Draw the weights of convolutions and linear layers, in the module's order; their biases begin at zero."""
    for part in module.modules():
        if isinstance(part, WEIGHTED):
            rule(part.weight)
            if part.bias is not None:
                init.zeros_(part.bias)


INITIALISERS = {"xavier": xavier, "kaiming": kaiming, "normal": normal}
"""Short names. Each is called as `initialiser(module, **params)` with the generator seeded as all ranks seed it."""
