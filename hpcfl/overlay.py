"""A class that goes before an algorithm's own, and the uploads that tell what a client changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHANGE", "MODEL", "bases", "overlay"]

MODEL, CHANGE = "w", "change"
"""They are a model, by its difference from the algorithm's `base`, and a difference."""


def bases(strategy: Any, uploads: dict[str, Tensor], sent: dict[str, Tensor], client: Any) -> dict[str, Tensor | float]:
    """Of each such upload that there is: where it would be if the client had changed nothing."""
    found: dict[str, Tensor | float] = {}
    if MODEL in uploads:
        found[MODEL] = strategy.base(sent, client)
    if CHANGE in uploads:
        found[CHANGE] = 0.0
    return found


def overlay(strategy: Any, first: type, **own: Any) -> Any:
    """The algorithm with the methods of `first` before its own, and class attributes of these names."""
    kind = type(strategy)
    laid = object.__new__(type(kind.__name__, (first, kind), own))
    vars(laid).update(vars(strategy))  # a frozen dataclass has no other way in
    return laid
