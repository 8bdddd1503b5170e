"""The ranks of one node share memory: one writes, the others read, where a socket would copy every byte four times.

Memory is a file without a name that the other processes find under /proc: nothing is left behind when a rank is
killed, and how large /dev/shm is does not matter. Small messages say what lies where and when it is there, so that a
dead rank is noticed as everywhere else.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from datetime import timedelta
from math import prod
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Levels", "Memory", "arrange", "locality"]

CHUNK = 1 << 17
"""Elements summed up at a time: they stay in the cache while the ranks' parts are added to them."""
PIECE = 1 << 20
"""Elements of a message between two nodes."""
LEAST = 1 << 18
"""Bytes of a tensor that goes through memory."""
TOKEN = 16
"""Bytes by which a process knows that it opened the right file."""


class Memory:
    """Tensors of this process that others can map, and those of others that it has mapped. For one thread."""

    def __init__(self) -> None:
        self._files: dict[int, int] = {}
        self._staged: dict[int, Tensor] = {}
        self._seen: dict[tuple[int, int], Tensor] = {}

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that others see."""
        size = prod(shape) * dtype.itemsize
        file = os.memfd_create("hpcfl")
        os.ftruncate(file, max(1, size))
        mapped = self._seen[os.getpid(), file] = _mapped(file)
        self._files[mapped.data_ptr()] = file
        return mapped[:size].view(dtype).view(shape)

    def shared(self, tensor: Tensor, *, filled: bool = True) -> Tensor:
        """The tensor where others see it: itself, or a place of its size, with its contents if they matter."""
        if tensor.data_ptr() in self._files:
            return tensor
        size = _bytes(tensor)
        if size not in self._staged:
            self._staged[size] = self.zeros((size,), torch.uint8)
        place = self._staged[size].view(tensor.dtype).view(tensor.shape)
        return place.copy_(tensor) if filled else place

    def name(self, tensor: Tensor) -> Tensor:
        """(2,) int64: where others find a tensor that is `shared`."""
        return torch.tensor([os.getpid(), self._files[tensor.data_ptr()]])

    def look(self, name: Tensor, like: Tensor) -> Tensor:
        """The tensor of that name, of this type and shape: no copy."""
        process, file = name.tolist()
        if (process, file) not in self._seen:
            self._seen[process, file] = _opened(process, file)
        return self._seen[process, file][: _bytes(like)].view(like.dtype).view(like.shape)


class Node:
    """Ranks that see one another's memory; `group` is theirs (None for a rank that is alone), the first one leads."""

    def __init__(self, ranks: list[int], rank: int, group: Any):
        self._ranks, self._number, self.group = ranks, ranks.index(rank), group
        self._memory = Memory()
        self.leads = self._number == 0

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that is `shared` from the start."""
        return self._memory.zeros(shape, dtype) if self.group else torch.zeros(shape, dtype=dtype)

    def shared(self, tensor: Tensor, *, filled: bool = True) -> Tensor:
        """The tensor in main memory where the node sees it, as in `Memory`."""
        return self._memory.shared(tensor, filled=filled) if self.group else tensor.cpu()

    def spread(self, tensor: Tensor) -> None:
        """The leader's tensor, which is `shared`, into everybody's; it may be changed when this returns."""
        if not self.group:
            return
        name = self._memory.name(tensor) if self.leads else torch.zeros(2, dtype=torch.int64)
        dist.broadcast(name, self._ranks[0], self.group)
        if not self.leads:
            tensor.copy_(self._memory.look(name, tensor))
        read = [torch.zeros(1) for _ in self._ranks] if self.leads else None
        dist.gather(torch.zeros(1), read, self._ranks[0], self.group)

    def add_up(self, tensor: Tensor) -> None:
        """The sum over the ranks into the leader's tensor; all are `shared`. Each rank adds up a stretch of it."""
        if not self.group:
            return
        names = [torch.zeros(2, dtype=torch.int64) for _ in self._ranks]
        dist.all_gather(names, self._memory.name(tensor), self.group)
        parts = [self._memory.look(name, tensor).view(-1) for name in names]
        begin, end = (tensor.numel() * number // len(parts) for number in (self._number, self._number + 1))
        for total, *others in zip(*(part[begin:end].split(CHUNK) for part in parts)):
            for other in others:
                total.add_(other)
        dist.barrier(self.group)  # from here on a rank may use its memory anew


class Levels:
    """Rank 0 and everybody in two steps: between the first ranks of all nodes, and inside each node.

    Between two nodes the sum is one message, added piece by piece as it comes; gloo's reduction moves as many bytes
    and takes twice as long. Between more it is gloo's: there the messages would queue up at rank 0.
    """

    def __init__(self, nodes: list[list[int]], rank: int, limit: timedelta):
        # every rank takes part in making every group
        groups = [dist.new_group(ranks, limit) if len(ranks) > 1 else None for ranks in nodes]
        self._leaders = [ranks[0] for ranks in nodes]
        self._between = dist.new_group(self._leaders, limit) if len(nodes) > 1 else None
        self._rank = rank
        self._node = next(Node(ranks, rank, group) for ranks, group in zip(nodes, groups) if rank in ranks)

    @property
    def groups(self) -> list[Any]:
        """Those that this rank is in."""
        leads = self._between is not None and self._node.leads
        return [group for group in (self._node.group, self._between if leads else None) if group]

    @staticmethod
    def help(nodes: list[list[int]]) -> bool:
        """Whether two steps are better than one: where ranks share a node."""
        return any(len(ranks) > 1 for ranks in nodes)

    @staticmethod
    def carry(tensor: Tensor) -> bool:
        """Whether the tensor is large enough: below, the messages that say where it lies cost more than it."""
        return _bytes(tensor) >= LEAST

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that `reduce` takes as it is."""
        return self._node.zeros(shape, dtype)

    def broadcast(self, tensor: Tensor) -> None:
        """Rank 0's tensor into everybody's."""
        if not self._node.leads:
            self._node.spread(tensor)
            return
        wire = self._node.shared(tensor, filled=self._rank == 0)
        if self._between:
            dist.broadcast(wire, 0, self._between)
        self._node.spread(wire)
        if self._rank and wire is not tensor:
            tensor.copy_(wire)

    def reduce(self, tensor: Tensor) -> None:
        """The sum over all ranks into rank 0's tensor."""
        wire = self._node.shared(tensor)
        self._node.add_up(wire)
        if self._between and self._node.leads:
            if len(self._leaders) == 2:
                self._hand_over(wire)
            else:
                dist.reduce(wire, 0, group=self._between)
        if self._rank == 0 and wire is not tensor:
            tensor.copy_(wire)

    def _hand_over(self, tensor: Tensor) -> None:
        """The sum over the two leaders into rank 0's tensor."""
        pieces = tensor.view(-1).split(PIECE)
        came = torch.empty_like(pieces[0])
        for piece in pieces:
            if self._rank:
                dist.send(piece, 0, self._between)
            else:
                dist.recv(came[: len(piece)], self._leaders[1], self._between)
                piece.add_(came[: len(piece)])


def locality() -> str:
    """Equal on ranks that may see one another's memory: one running system, one set of process numbers, one user."""
    try:
        system = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{system}/{Path('/proc/self/ns/pid').readlink()}/{os.getuid()}" if hasattr(os, "memfd_create") else ""
    except OSError:  # no Linux
        return ""


def arrange(store: Any, rank: int, size: int, place: str) -> list[list[int]]:
    """The ranks by node, as every rank finds them: those of one `place` that could really open one another's memory."""
    token = os.urandom(TOKEN)
    file = _written(token) if place else -1
    store.set(f"place/{rank}", f"{place} {os.getpid()} {file} {token.hex()}")
    said = [store.get(f"place/{other}").decode().rsplit(" ", 3) for other in range(size)]
    near = [other for other in range(size) if place and said[other][0] == place]
    sees = all(_reads(*map(int, said[other][1:3])) == bytes.fromhex(said[other][3]) for other in near)
    store.set(f"sees/{rank}", "yes" if near and sees else "no")
    nodes: dict[str, list[int]] = {}
    for other in range(size):
        seen = store.get(f"sees/{other}") == b"yes"
        nodes.setdefault(said[other][0] if seen else f"alone {other}", []).append(other)
    if file >= 0:
        os.close(file)
    return list(nodes.values())


def _written(token: bytes) -> int:
    file = os.memfd_create("hpcfl")
    os.write(file, token)
    return file


def _reads(process: int, file: int) -> bytes:
    """What the file of another process holds; nothing where it cannot be opened, as across some containers."""
    with suppress(OSError):
        return Path(f"/proc/{process}/fd/{file}").read_bytes()
    return b""


def _opened(process: int, file: int) -> Tensor:
    mine = os.open(f"/proc/{process}/fd/{file}", os.O_RDWR)
    try:
        return _mapped(mine)
    finally:
        os.close(mine)


def _mapped(file: int) -> Tensor:
    """(bytes,) uint8: the whole file."""
    return torch.frombuffer(mmap.mmap(file, 0), dtype=torch.uint8)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
