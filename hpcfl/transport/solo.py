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

    def broadcast(self, tensor: Tensor) -> None:
        """Everybody has it."""

    def reduce(self, tensor: Tensor) -> None:
        """It is the sum."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        return [tensor]

    def send(self, tensor: Tensor, rank: int) -> None:
        raise ValueError("one rank has nobody to send to")

    def recv(self, tensor: Tensor, rank: int) -> None:
        raise ValueError("one rank has nobody to receive from")

    def barrier(self) -> None:
        """Everybody is here."""

    def zeros(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    def channels(self, timeout_s: float) -> dict[int, Any]:
        return {}

    def losses(self) -> list[tuple[int, str]]:
        return []

    def ask(self, number: int) -> None:
        """Nobody else is to know."""

    def asked(self) -> int:
        return 0
