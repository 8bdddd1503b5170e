"""A rank that joins a run: not in the group that the others made, until the next one is made."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from hpcfl.core import first_line
from hpcfl.errors import LaunchError
from hpcfl.launch import Placement
from hpcfl.transport.door import hear
from hpcfl.transport.group import CPU, Channel
from hpcfl.transport.lifeline import Lifeline
from hpcfl.transport.survivors import Survivors, ways

__all__ = ["Latecomer"]

WELCOME_S = 60.0
"""Longest wait for rank 0's last word [s]."""


class Latecomer(Survivors):
    """As the others' `Survivors`. Until the next `mend` it has the one channel to rank 0 at most, and no group."""

    def __init__(self, line: socket.socket, host: str, told: Mapping[str, Any], device: torch.device, timeout_s: float):
        """`told`: what `Survivors.admit` said on the line from rank 0's `host`. LaunchError if nothing comes of it."""
        self._line, self._told, self._first = line, told, None
        store = dist.TCPStore(host, told["port"], None, False, wait_for_workers=False)
        placement = Placement(rank=told["rank"], size=told["rank"] + 1)
        super().__init__(placement, (host, told["port"], store), device, timeout_s, silence_s=0.0)

    def _begin(self, device: torch.device) -> None:
        self.backend, self._wire, self._levels = "gloo", CPU, None
        self.ranks, self.rank, self.size = [0, self._name], 1, 2
        self._generation = self._told["generation"]
        try:
            if self._told["apart"]:
                with self._connections.noted(0):
                    self._first = ways(self._store, self._name, 1)
            self._line.settimeout(WELCOME_S)
            refusal = hear(self._line)["refused"]
        except (OSError, ValueError, RuntimeError) as failure:
            raise LaunchError(f"rank {self._name} lost rank 0 before it was let in: {first_line(failure)}") from None
        if refusal:
            raise LaunchError(refusal)
        self._life = Lifeline(self._line, self._name, self._cut)

    def channels(self, timeout_s: float) -> dict[int, Channel]:
        if self._first is None:
            return super().channels(timeout_s)
        channel = Channel(self, 0, self._first, timeout_s)
        self._first, self._channels = None, {channel}
        return {0: channel}
