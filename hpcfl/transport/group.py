"""The six verbs between ranks, over torch.distributed; a failure names the rank.

broadcast and reduce are the traffic of a synchronous round. Rank 0 is always the one that sends to all or receives
from all; send and recv go between any two. Tensors travel as they are: no pickle, no object lists.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread
from time import monotonic, time
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from hpcfl.core import first_line
from hpcfl.errors import RankError
from hpcfl.launch import Placement
from hpcfl.transport.network import is_known
from hpcfl.transport.node import Levels, arrange, locality
from hpcfl.transport.solo import Solo

__all__ = ["Channel", "Group", "Solo", "Transport", "Ways"]

CPU = torch.device("cpu")
PULSE_S = 1.0
"""Seconds between two signs of life."""


class Transport(Protocol):
    """What pools need of it. Every rank calls broadcast, reduce, gather and barrier in the same order."""

    rank: int
    size: int
    ranks: list[int]
    """What the launcher calls each rank."""

    def broadcast(self, tensor: Tensor, *, lent: bool = False) -> Tensor:
        """Rank 0's tensor into everybody's.

        `lent`: it is only to be read, and as long as rank 0 has what this returns; ranks of one node then share it.
        """

    def reduce(self, tensor: Tensor, *, empty: bool = False) -> None:
        """The sum over all ranks into rank 0's tensor; the others' contents are lost.

        An `empty` tensor counts as zeros, whatever it holds.
        """

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """On rank 0 every rank's tensor (all of one shape), by rank; an empty list elsewhere."""

    def send(self, tensor: Tensor, rank: int) -> None:
        """Give the tensor to a rank that receives one of this shape."""

    def recv(self, tensor: Tensor, rank: int) -> None:
        """Fill the tensor with what the rank sends."""

    def barrier(self) -> None:
        """Wait for all ranks."""

    def empty(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory that `broadcast` and `reduce` take as it is: other tensors may be copied first."""

    def channels(self, timeout_s: float) -> dict[int, Channel]:
        """On rank 0 a channel to every other rank, elsewhere one to rank 0; every rank calls it once."""

    def expect(self, more: Callable[[Channel], bool]) -> None:
        """On rank 0: `more` gets, in a thread, the channel of each rank that joins, and says whether it is wanted."""

    def mend(self, word: str = "") -> str:
        """After LostRankError: make the group of the ranks that are left; rank 0's word for everybody."""


Ways = tuple[Any, Any]
"""Two process groups of rank 0 and another rank, which is 1 in them: for what rank 0 sends, and for what it receives.

On one connection for both, gloo's own thread would spin for as long as another one sends there.
"""


class Channel:
    """Messages between rank 0 and one other rank, apart from all others: a thread may wait here for that one alone.

    Over gloo, through main memory: its sends and receives tell at once when the other rank dies.
    """

    def __init__(self, group: Group, rank: int, ways: Ways, timeout_s: float):
        self._group, self.rank, self._limit = group, rank, timedelta(seconds=timeout_s)
        self._out, self._in = ways if rank else reversed(ways)

    def send(self, tensor: Tensor) -> None:
        """Give the tensor to a rank that receives one of this shape."""
        with self._watched(), _wired(tensor, CPU) as wire:
            self._out.send([wire], min(1, self.rank), 0).wait(self._limit)

    def recv(self, tensor: Tensor) -> None:
        """Fill the tensor with what the rank sends."""
        with self._watched(), _wired(tensor, CPU) as wire:
            self._in.recv([wire], min(1, self.rank), 0).wait(self._limit)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        begin = monotonic()
        try:
            yield
        except RuntimeError as failure:
            raise self._group.broken(self, monotonic() - begin, failure) from None


class Group:
    """Several ranks. Leaving the `with` block ends the process group; without that a job aborts at its exit."""

    may_nccl = True
    """Whether NCCL is used where every rank has a GPU of its own."""
    joinable = False
    """Whether ranks of other hosts may join later."""

    def __init__(
        self,
        placement: Placement,
        address: tuple[str, int, Any],
        device: torch.device,
        timeout_s: float,
        place: str | None = None,
    ):
        """`place`: equal on ranks of one node, where it is not as `locality` finds it."""
        host, port, self._store = address
        self.address = host, port
        self.rank, self.size = placement.rank, placement.size
        self.ranks = list(range(self.size))
        if placement.size == placement.local_size and not (self.joinable and is_known(socket.gethostname())):
            # one node: gloo would ask the name service for the host's own name, which a container may not know
            names = [name for _, name in socket.if_nameindex()]
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if "lo" in names else names[0])
        self._timeout_s = timeout_s
        self._calls = 0
        self._awaited = 0
        self._looked = monotonic()
        self._place = locality() if place is None else place
        self._left = Event()
        self._begin(device)

    def _begin(self, device: torch.device) -> None:
        """Choose what carries the tensors, make the group, and show that this rank lives."""
        self._store.set(f"device/{self.rank}", _identity(device))
        identities = [self._store.get(f"device/{rank}").decode() for rank in range(self.size)]
        own_gpu = self.may_nccl and all(name.startswith("cuda") for name in identities)
        own_gpu = own_gpu and len(set(identities)) == self.size
        self.backend = "nccl" if own_gpu else "gloo"
        self._wire = device if own_gpu else CPU
        self._form("group", self._timeout_s)
        self._show_life(*self.address)

    def _form(self, name: str, timeout_s: float) -> None:
        """Make the process group; its ranks find one another under this name."""
        limit, store = timedelta(seconds=timeout_s), dist.PrefixStore(name, self._store)
        dist.init_process_group(
            self.backend, store=store, rank=self.rank, world_size=self.size,
            timeout=limit, device_id=self._wire if self.backend == "nccl" else None,
        )  # fmt: skip
        nodes = [] if self.backend == "nccl" else arrange(store, self.rank, self.size, self._place)
        self._levels = Levels(nodes, self.rank, limit) if Levels.help(nodes) else None

    def _show_life(self, host: str, port: int) -> None:
        """From now on let rank 0 know that this rank lives."""
        store = dist.TCPStore(host, port, self.size, is_master=False, wait_for_workers=False)
        Thread(target=self._pulse, args=(store,), daemon=True, name="pulse").start()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *failure: object) -> None:
        if not self._left.is_set():
            self._left.set()
            dist.destroy_process_group()

    # the six verbs
    def broadcast(self, tensor: Tensor, *, lent: bool = False) -> Tensor:
        with self._call("a broadcast"):
            if self._levels and self._levels.carry(tensor):
                return self._levels.broadcast(tensor, lent=lent)
            with self._wired(tensor) as wire:
                dist.broadcast(wire, 0)
        return tensor

    def reduce(self, tensor: Tensor, *, empty: bool = False) -> None:
        with self._call("a reduction"):
            if self._levels and self._levels.carry(tensor):
                self._levels.reduce(tensor, empty=empty)
            else:
                if empty:
                    tensor.zero_()
                with self._wired(tensor) as wire:
                    dist.reduce(wire, 0)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        with self._call("a gathering"), self._wired(tensor) as wire:
            parts = [torch.empty_like(wire) for _ in range(self.size)] if self.rank == 0 else None
            dist.gather(wire, parts, 0)
        return [part.to(tensor.device) for part in parts or []]

    def send(self, tensor: Tensor, rank: int) -> None:
        with self._call(f"sending to rank {rank}", rank), self._wired(tensor) as wire:
            dist.send(wire, rank)

    def recv(self, tensor: Tensor, rank: int) -> None:
        with self._call(f"receiving from rank {rank}", rank), self._wired(tensor) as wire:
            dist.recv(wire, rank)

    def barrier(self) -> None:
        self.gather(torch.zeros(1))
        self.broadcast(torch.zeros(1))

    def empty(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        like = torch.empty(shape, dtype=dtype, device="meta")
        if self._levels and device.type == "cpu" and self._levels.carry(like):
            return self._levels.empty(shape, dtype)
        return torch.empty_like(like, device=device)

    def channels(self, timeout_s: float) -> dict[int, Channel]:
        limit = timedelta(seconds=timeout_s)
        # every rank takes part in making every one, in the same order: their names in the store depend on it
        ways = [self._ways(rank, limit) for rank in range(1, self.size)]
        if self.rank:
            return {0: Channel(self, 0, ways[self.rank - 1], timeout_s)}
        return {rank: Channel(self, rank, both, timeout_s) for rank, both in enumerate(ways, 1)}

    def expect(self, more: Callable[[Channel], bool]) -> None:
        """Nobody joins."""

    def _ways(self, rank: int, limit: timedelta) -> Ways:
        first, second = (dist.new_group([0, rank], timeout=limit, backend="gloo") for _ in range(2))
        return first, second

    # a wish
    def ask(self, number: int) -> None:
        """On a rank other than 0: pass on the signal that asks the run to end; from any thread."""
        with suppress(RuntimeError):  # rank 0 is gone, and with it the run
            self._store.set("asked", str(number))

    def asked(self) -> int:
        """On rank 0: the signal that another rank got, 0 if none; the store is looked at once in PULSE_S."""
        if monotonic() - self._looked < PULSE_S:
            return 0
        self._looked = monotonic()
        return int(self._store.get("asked")) if self._store.check(["asked"]) else 0

    # failures
    def losses(self) -> list[tuple[int, str]]:
        """On rank 0: ranks that were lost since the last call, each with what happened to it."""
        return []

    def joins(self) -> list[tuple[int, str]]:
        """On rank 0: ranks that came late since the last call, each with its host."""
        return []

    def broken(self, channel: Channel, waited_s: float, failure: BaseException) -> RankError:
        """What to raise for a message on the channel that failed after so many seconds."""
        return RankError(self.lost(channel.rank, waited_s, failure))

    def lost(self, rank: int, waited_s: float, failure: BaseException) -> str:
        """One sentence for a message to or from `rank` that failed after so many seconds."""
        if self.rank:
            return f"rank {self.rank} lost rank 0: {first_line(failure)}"
        if waited_s >= 0.95 * self._timeout_s:
            return f"rank {rank} kept rank 0 waiting for {self._timeout_s:g} s"
        Event().wait(0.5)  # a rank that fails says why before it closes its connections, but it may be slower
        if self._store.check([f"failed/{rank}"]):
            return f"rank {rank}: {self._store.get(f'failed/{rank}').decode()}"
        return f"rank {rank} died: {first_line(failure)}"

    def report(self, reason: str | None, mistake: bool = True) -> None:
        """On a rank other than 0: tell rank 0 why this rank gives up, and wait until it has said so to the user.

        None where the reason lies with another rank. `mistake`: in the job, or whatever else all ranks share.
        """
        with suppress(RuntimeError):  # rank 0 may be gone: then nobody is left to tell
            if reason is not None:
                self._store.set(f"failed/{self.rank}", reason[:2000].encode())
            self._store.set(f"left/{self.rank}", b"")
            self.__exit__()
            self._store.wait(["told"], timedelta(seconds=10))
            _wait_until(float(self._store.get("told")))

    def told(self) -> None:
        """On rank 0: the user knows; all ranks may end, at one moment: mpirun kills those that are late, noisily."""
        moment = time() + 0.3
        with suppress(RuntimeError):
            self.__exit__()
            self._store.set("told", str(moment).encode())
        _wait_until(moment)

    def _wired(self, tensor: Tensor) -> Any:
        return _wired(tensor, self._wire)

    @contextmanager
    def _call(self, what: str, peer: int | None = None) -> Iterator[None]:
        """`peer`: the one rank that takes part; else all do, and their calls are counted."""
        self._calls += peer is None
        self._awaited = peer or 0
        try:
            yield
            self._awaited = 0
            if self._wire.type == "cuda":
                torch.cuda.synchronize(self._wire)
        except RuntimeError as failure:
            raise RankError(self._blame(what, failure, peer or 0)) from None

    def _pulse(self, store: Any) -> None:
        """Tell the store once a second that this rank lives, how many calls it has entered, and which other client rank
        it waits for (0: none)."""
        beats = 0
        with suppress(RuntimeError):  # rank 0 is gone; the main thread meets that by itself
            while not self._left.wait(PULSE_S):
                beats += 1
                store.set(f"pulse/{self.rank}", f"{beats} {self._calls} {self._awaited}".encode())

    def _blame(self, what: str, failure: BaseException, peer: int) -> str:
        """One sentence: which rank failed and why, as far as rank 0 can know."""
        if self.rank:
            return f"rank {self.rank} lost rank {peer} in {what}: {first_line(failure)}"
        Event().wait(0.5)  # a rank that fails says why before it closes its connections, but it may be slower
        said = [rank for rank in range(1, self.size) if self._store.check([f"failed/{rank}"])]
        if said:
            return "; ".join(f"rank {rank}: {self._store.get(f'failed/{rank}').decode()}" for rank in said)
        before = self._pulses()
        Event().wait(2.5 * PULSE_S)
        after = self._pulses()
        # a rank that lost another in its own node has left, and shows no more sign of life either
        silent = [k for k in after if after[k] == before[k] and not self._store.check([f"left/{k}"])]
        if silent:
            return f"rank {_listed(silent)} died or hangs (no sign of life, in {what})"
        behind = [rank for rank, (_, calls, awaited) in after.items() if calls < self._calls and not awaited]
        return f"rank {_listed(behind or list(after))} kept the others waiting for {self._timeout_s:g} s in {what}"

    def _pulses(self) -> dict[int, tuple[int, ...]]:
        """(beats, calls, the client rank it waits for) of every other rank."""
        pulses = {}
        for rank in range(1, self.size):
            key = f"pulse/{rank}"
            said = self._store.get(key).decode().split() if self._store.check([key]) else (0, 0, 0)
            pulses[rank] = tuple(map(int, said))
        return pulses


@contextmanager
def _wired(tensor: Tensor, wire: torch.device) -> Iterator[Tensor]:
    """The tensor where the backend can carry it, and back."""
    carried = tensor if tensor.device == wire else tensor.to(wire)
    yield carried
    if carried is not tensor:
        tensor.copy_(carried)


def _wait_until(moment: float) -> None:
    Event().wait(max(0.0, min(1.0, moment - time())))


def _identity(device: torch.device) -> str:
    """Tells GPUs apart, also where each rank sees its own as number 0."""
    if device.type == "cuda":
        return f"cuda {socket.gethostname()} {torch.cuda.get_device_properties(device).uuid}"
    return f"{device.type}"


def _listed(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks))
