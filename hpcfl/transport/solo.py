"""One rank: the verbs of `Group` where there is nobody else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["Solo"]


class Solo:
    """One rank: every verb is done before it begins."""

    rank, size, backend = 0, 1, "none"
    ranks, address = (0,), ("127.0.0.1", 0)

    def __enter__(self) -> Solo:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing to leave."""

    def broadcast(self, tensor: Tensor, *, lent: bool = False) -> Tensor:
        """Everybody has it."""
        return tensor

    def reduce(self, tensor: Tensor, *, empty: bool = False) -> None:
        """It is the sum."""
        if empty:
            tensor.zero_()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        return [tensor]

    def send(self, tensor: Tensor, rank: int) -> None:
        raise ValueError("one rank has nobody to send to")

    def recv(self, tensor: Tensor, rank: int) -> None:
        raise ValueError("one rank has nobody to receive from")

    def barrier(self) -> None:
        """Everybody is here."""

    def empty(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    def channels(self, timeout_s: float) -> dict[int, Any]:
        return {}

    def expect(self, more: Any) -> None:
        """Nobody joins."""

    def losses(self) -> list[tuple[int, str]]:
        return []

    def joins(self) -> list[tuple[int, str]]:
        return []

    def ask(self, number: int) -> None:
        """Nobody else is to know."""

    def asked(self) -> int:
        return 0
