"""The ranks of one node share memory: one writes, the others read, where a socket would copy every byte four times.

Memory is a file without a name that the other processes find under /proc: nothing is left behind when a rank is
killed, and how large /dev/shm is does not matter. Small messages say what lies where and when it is there, so that a
dead rank is noticed as everywhere else.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from math import prod
from pathlib import Path
from sys import getrefcount
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
        self._places: dict[int, list[mmap.mmap]] = {}
        self._files: dict[int, int] = {}
        self._mine: dict[int, mmap.mmap] = {}
        self._seen: dict[tuple[int, int], mmap.mmap] = {}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # a place has two files
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def __del__(self) -> None:
        for file in self._mine:
            os.close(file)  # tensors that still lie there keep it mapped

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that others see, holding anything: where one was that nobody has any more, if there is such a place.

        To get memory anew, page by page, takes longer than to fill it.
        """
        size = prod(shape) * dtype.itemsize
        places = self._places.setdefault(size, [])
        free = [place for place, count in zip(places, _references(places)) if count == UNUSED]
        whole = torch.frombuffer(free[0] if free else self._new(size), dtype=torch.uint8)
        return whole[:size].view(dtype).view(shape)

    def _new(self, size: int) -> mmap.mmap:
        file = os.memfd_create("hpcfl")
        os.ftruncate(file, max(1, size))
        place = self._mine[file] = mmap.mmap(file, 0)
        self._places[size].append(place)
        self._files[torch.frombuffer(place, dtype=torch.uint8).data_ptr()] = file
        return place

    def shared(self, tensor: Tensor, *, filled: bool = True) -> Tensor:
        """The tensor where others see it: itself, or one like it, with its contents if they matter."""
        if tensor.is_contiguous() and tensor.data_ptr() in self._files:
            return tensor
        place = self.empty(tuple(tensor.shape), tensor.dtype)
        return place.copy_(tensor) if filled else place

    def name(self, tensor: Tensor, *more: int) -> Tensor:
        """(2 + more,) int64: where others find a tensor that is `shared`, and what else they are to know of it."""
        return torch.tensor([os.getpid(), self._files[tensor.data_ptr()], *more])

    def look(self, name: Tensor, like: Tensor) -> Tensor:
        """The tensor of that name, of this type and shape: no copy."""
        process, file = name[:2].tolist()
        if process == os.getpid():
            place = self._mine[file]
        elif (process, file) in self._seen:
            place = self._seen[process, file]
        else:
            place = self._seen[process, file] = _opened(process, file)
        return torch.frombuffer(place, dtype=torch.uint8)[: _bytes(like)].view(like.dtype).view(like.shape)


class Node:
    """Ranks that see one another's memory; `group` is theirs (None for a rank that is alone), the first one leads."""

    def __init__(self, ranks: list[int], rank: int, group: Any):
        self._ranks, self._number, self.group = ranks, ranks.index(rank), group
        self._memory = Memory()
        self.leads = self._number == 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that is `shared` from the start."""
        return self._memory.empty(shape, dtype) if self.group else torch.empty(shape, dtype=dtype)

    def shared(self, tensor: Tensor, *, filled: bool = True) -> Tensor:
        """The tensor in main memory where the node sees it, as in `Memory`."""
        return self._memory.shared(tensor, filled=filled) if self.group else tensor.cpu()

    def spread(self, tensor: Tensor, *, lent: bool) -> None:
        """The leader's tensor, which is `shared`, into everybody's; it may be changed when this returns.

        One that is `lent` may not: a tensor in main memory has no copy of its own then.
        """
        if not self.group:
            return
        name = self._memory.name(tensor, lent) if self.leads else torch.zeros(3, dtype=torch.int64)
        dist.broadcast(name, self._ranks[0], self.group)
        lent = bool(name[2])
        if not self.leads:
            _give(self._memory.look(name, tensor), tensor, lent=lent)
        if lent:
            return
        read = [torch.zeros(1) for _ in self._ranks] if self.leads else None
        dist.gather(torch.zeros(1), read, self._ranks[0], self.group)

    def add_up(self, tensor: Tensor, *, empty: bool) -> None:
        """The sum over the ranks into the leader's tensor; all are `shared`. Each rank adds up a stretch of it.

        An `empty` one counts as zeros, and is not read.
        """
        if not self.group:
            if empty:
                tensor.zero_()
            return
        names = [torch.zeros(3, dtype=torch.int64) for _ in self._ranks]
        dist.all_gather(names, self._memory.name(tensor, empty), self.group)
        begin, end = (tensor.numel() * number // len(names) for number in (self._number, self._number + 1))
        stretches = [self._memory.look(name, tensor).view(-1)[begin:end].split(CHUNK) for name in names]
        filled = [pieces for pieces, name in zip(stretches, names) if not name[2]]
        for place, total in enumerate(stretches[0]):
            _sum([pieces[place] for pieces in filled], total)
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

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that `broadcast` and `reduce` take as it is."""
        return self._node.empty(shape, dtype)

    def broadcast(self, tensor: Tensor, *, lent: bool) -> Tensor:
        """Rank 0's tensor into everybody's; `lent`: to be read as long as rank 0 has what this returns."""
        if not self._node.leads:
            self._node.spread(tensor, lent=lent)
            return tensor
        wire = self._node.shared(tensor, filled=self._rank == 0)
        if self._between:
            dist.broadcast(wire, 0, self._between)
        self._node.spread(wire, lent=lent)
        if self._rank and wire is not tensor:
            _give(wire, tensor, lent=lent)
        return wire

    def reduce(self, tensor: Tensor, *, empty: bool) -> None:
        """The sum over all ranks into rank 0's tensor; an `empty` one counts as zeros, whatever it holds."""
        wire = self._node.shared(tensor, filled=not empty)
        self._node.add_up(wire, empty=empty)
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


def _give(source: Tensor, tensor: Tensor, *, lent: bool) -> None:
    """The contents of `source` to `tensor`; if `lent`, and it is in main memory, the very memory."""
    if lent and tensor.device == source.device:
        tensor.set_(source)
    else:
        tensor.copy_(source)


def _sum(parts: list[Tensor], total: Tensor) -> None:
    """The sum of the parts, of which `total` may be the first, into `total`."""
    if not parts:
        total.zero_()
    elif len(parts) == 1:
        total.copy_(parts[0])
    else:
        torch.add(parts[0], parts[1], out=total)
    for other in parts[2:]:
        total.add_(other)


def _written(token: bytes) -> int:
    file = os.memfd_create("hpcfl")
    os.write(file, token)
    return file


def _reads(process: int, file: int) -> bytes:
    """What the file of another process holds; nothing where it cannot be opened, as across some containers."""
    with suppress(OSError):
        return Path(f"/proc/{process}/fd/{file}").read_bytes()
    return b""


def _opened(process: int, file: int) -> mmap.mmap:
    try:
        mine = os.open(f"/proc/{process}/fd/{file}", os.O_RDWR)
    except OSError as failure:  # it died after it had said where its memory is
        raise RuntimeError(f"process {process} is gone: {failure}") from None
    try:
        return mmap.mmap(mine, 0)
    finally:
        os.close(mine)


def _references(places: Sequence[Any]) -> list[int]:
    """How many references there are to each; a tensor has one to the place that it lies in."""
    return [getrefcount(place) for place in places]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


UNUSED = _references([object()])[0] + 1
"""References to a place that no tensor lies in: those of a list's item, and that of `Memory._mine`."""
