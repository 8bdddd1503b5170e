"""The ranks that are left: a group that is made anew, without those that died or hang, and with those that came late.

gloo has no way back from a failed call: a group that lost a rank, or whose wait ran out, is of no use to anybody. So
all connections of the old group are cut, which ends every wait in it at once; the ranks that live gather at rank 0's
store, and make the next group under another name. Rank 0 cannot be lost: it has the model, the file and the store.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Lock
from time import monotonic
from typing import Any

import torch
import torch.distributed as dist

from hpcfl.core import first_line
from hpcfl.errors import LostRankError, RankError
from hpcfl.launch import Placement
from hpcfl.transport.connections import Connections
from hpcfl.transport.door import say
from hpcfl.transport.group import Channel, Group, Ways
from hpcfl.transport.lifeline import FAILED, WRONG, Lifeline, Lifelines, Line

__all__ = ["Survivors", "ways"]

FORM_S = 30.0
"""Longest wait for another rank while the next group is made; all of them were there just before [s]."""
WAYS_S = 10.0
"""Longest wait for a rank that joins to connect; it has just said that it will [s]."""
IN_VAIN = 3
"""Groups made in a row without a rank lost, after which it is no rank's failure."""
POLL_S = 0.02


class Survivors(Group):
    """A `Group` whose calls raise LostRankError when a rank is lost; then every rank that is left calls `mend`."""

    may_nccl = False  # its kernels would wait on the device for a rank that is gone

    def __init__(
        self,
        placement: Placement,
        address: tuple[str, int, Any],
        device: torch.device,
        timeout_s: float,
        silence_s: float,
        place: str | None = None,
        joinable: bool = False,
    ):
        """`silence_s`: a rank is lost after so long without a sign of life. `joinable`: others may join."""
        self.joinable = joinable
        self._name, self._silence_s = placement.rank, silence_s
        self._generation = self._in_vain = self._known = 0
        self._lost: dict[int, str] = {}
        self._late: list[tuple[int, str]] = []
        self._newest = placement.size - 1
        self._more: Callable[[Channel], bool] | None = None
        self._told_lost = self._told_late = 0
        self._changing = Lock()
        """Held while ranks are taken into the group, or counted for it."""
        self._wrong = ""
        self._lock = Lock()
        self._connections = Connections(address[1])
        self._channels: set[Channel] = set()
        super().__init__(placement, address, device, timeout_s, place)
        self._store.set_timeout(timedelta(seconds=FORM_S))

    def _form(self, name: str, timeout_s: float) -> None:
        with self._connections.noted("group"):
            super()._form(name, timeout_s)

    def _ways(self, rank: int, limit: timedelta) -> Ways:
        with self._connections.noted(self.ranks[rank]):
            return super()._ways(rank, limit)

    def channels(self, timeout_s: float) -> dict[int, Channel]:
        found = super().channels(timeout_s)
        self._channels = set(found.values())
        return found

    def expect(self, more: Callable[[Channel], bool]) -> None:
        self._more = more

    def _show_life(self, host: str, port: int) -> None:
        if self._name:
            self._life: Any = Lifeline.to(self._store, self._name, self._place, self._cut)
        else:
            self._life = Lifelines(self._store, host, self.size, self._place, self._silence_s, self._lose)

    def __exit__(self, *failure: object) -> None:
        self._life.leave(*([FAILED] if self._name and failure and failure[0] else []))
        self._left.set()
        if dist.is_initialized():
            dist.destroy_process_group()

    # on rank 0
    def _lose(self, rank: int, why: str, said: bytes) -> None:
        """In the thread of the lifelines: let nobody wait for this rank."""
        if said and self._store.check([f"failed/{rank}"]):
            why = f"rank {rank}: {self._store.get(f'failed/{rank}').decode()}"
        with self._lock:
            if said == WRONG:
                self._wrong = why
            else:
                self._lost[rank] = why
        self._connections.cut("group", rank)
        self._life.tell(f"cut {self._generation + 1}")

    def losses(self) -> list[tuple[int, str]]:
        with self._lock:
            new = list(self._lost.items())[self._told_lost :]
            self._told_lost += len(new)
        return new

    def joins(self) -> list[tuple[int, str]]:
        new = self._late[self._told_late :]
        self._told_late += len(new)
        return new

    def admit(self, line: socket.socket, process: int, place: str, host: str, apart: bool) -> bool:
        """In a thread: take the process at the other end of the line as another rank; whether that was done.

        `apart`: messages go to one rank at a time, and nobody else is disturbed; else all make the next group at once.
        ConnectionError if it is gone.
        """
        with self._changing:
            self._newest += 1
            name, index, more = self._newest, len(self.ranks), self._more
            if apart and more is None:
                say(line, refused="the ranks are just making another group, or their run is over: try again")
                return False
            network = os.environ.get("GLOO_SOCKET_IFNAME")
            say(line, refused="", rank=name, port=self.address[1], generation=self._generation, apart=apart,
                network=network)  # fmt: skip
            if apart:
                channel = Channel(self, index, self._met(name), self._timeout_s)
                self.ranks.append(name)
                self._channels.add(channel)
                if not more(channel):
                    self.ranks.pop()
                    say(line, refused="the run is over, or has no rank left")
                    return False
            say(line, refused="")
            self._late.append((name, host))
            self._life.add(name, Line(line, process, place))
            if not apart:
                self._connections.cut("group")
                self._life.tell(f"cut {self._generation + 1}")
            return True

    def _met(self, name: int) -> Ways:
        """The ways to and from the rank that joins."""
        store = dist.TCPStore(*self.address, None, False, wait_for_workers=False)  # a wait holds up all who use one
        try:
            with self._connections.noted(name):
                return ways(store, name, 0)
        except RuntimeError as failure:
            raise ConnectionError(first_line(failure)) from None

    def _muster(self, generation: int, word: str) -> None:
        """Wait until every rank that lives is there, and say who that is."""
        end = monotonic() + self._timeout_s
        self._life.tell(f"cut {generation}")
        while late := [rank for rank in self._life.living if not self._store.check([f"here/{generation}/{rank}"])]:
            self._raise_if_wrong()
            if monotonic() > end:
                for rank in late:
                    self._life.give_up(rank, f"rank {rank} kept the others waiting for {self._timeout_s:g} s")
            Event().wait(POLL_S)
        self._raise_if_wrong()
        changes = len(self._lost) + len(self._late)
        self._in_vain = 0 if changes > self._known else self._in_vain + 1
        self._known = changes
        if self._in_vain > IN_VAIN:
            raise RankError(f"the ranks lost one another {IN_VAIN} times, and all of them live: see their network")
        self.ranks = [0, *self._life.living]
        if len(self.ranks) == 1:
            raise RankError(f"no client rank is left: {'; '.join(self._lost.values())}")
        self._store.set(f"ranks/{generation}", json.dumps([self.ranks, word]))

    def _raise_if_wrong(self) -> None:
        if self._wrong:
            raise RankError(self._wrong)

    def broken(self, channel: Channel, waited_s: float, failure: BaseException) -> RankError:
        if self._name or channel not in self._channels:  # it was cut, for another rank's sake
            return LostRankError(f"rank {self._name} lost a connection: {first_line(failure)}")
        name, end = self.ranks[channel.rank], monotonic() + 1.0
        while name not in self._lost and not self._wrong and monotonic() < end:  # the lifeline knows better why
            Event().wait(POLL_S)
        limit = waited_s >= 0.95 * self._timeout_s
        why = f"kept rank 0 waiting for {self._timeout_s:g} s" if limit else f"is lost: {first_line(failure)}"
        self._life.give_up(name, f"rank {name} {why}")
        return RankError(self._wrong) if self._wrong else LostRankError(self._lost.get(name, f"rank {name} {why}"))

    # on the others
    def _cut(self, generation: int) -> None:
        """In the thread of the lifeline."""
        if self._generation < generation:
            self._connections.cut("group")

    def _gather(self, generation: int) -> str:
        """Be there, and wait until rank 0 has said who else is; its word."""
        end, key = monotonic() + 2 * self._timeout_s, f"ranks/{generation}"
        try:
            self._store.set(f"here/{generation}/{self._name}", b"")
            while not self._store.check([key]):
                if monotonic() > end:
                    raise RankError(f"rank {self._name} waited in vain for rank 0 to say who is left")
                Event().wait(POLL_S)
            self.ranks, word = json.loads(self._store.get(key))
        except RuntimeError as failure:
            raise RankError(f"rank {self._name} lost rank 0: {first_line(failure)}") from None
        if self._name not in self.ranks:
            raise RankError(f"rank {self._name} was given up")
        return word

    def report(self, reason: str | None, mistake: bool = True) -> None:
        with suppress(RuntimeError):
            if reason is not None:
                self._store.set(f"failed/{self._name}", reason[:2000].encode())
                self._life.leave(WRONG if mistake else FAILED)
        if mistake:
            super().report(None)

    # on all
    def mend(self, word: str = "") -> str:
        """Make the next group; RankError where no client rank is left, or rank 0 is not."""
        while True:
            with self._changing:
                self._channels, self._more = set(), None
                self._connections.cut()
                with suppress(RuntimeError, ValueError, AssertionError):  # there may be none, after one in vain
                    dist.destroy_process_group()
                generation = self._generation + 1
                if self._name:
                    word = self._gather(generation)
                else:
                    self._muster(generation, word)
                self._generation = generation
            self.rank, self.size = self.ranks.index(self._name), len(self.ranks)
            try:
                self._form(f"group/{generation}", FORM_S)
                self._patient()
            except RuntimeError:  # one more was lost meanwhile
                continue
            if not self._name and self.ranks != [0, *self._life.living]:  # or has joined
                continue
            return word

    def _patient(self) -> None:
        """From the limit of making a group to that of a call."""
        limit = timedelta(seconds=self._timeout_s)
        change = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout
        for group in (dist.group.WORLD, *(self._levels.groups if self._levels else ())):
            change(limit, group)

    @contextmanager
    def _call(self, what: str, *peer: int) -> Iterator[None]:
        try:
            yield
        except RuntimeError as failure:
            raise LostRankError(f"rank {self._name} lost others in {what}: {first_line(failure)}") from None


def ways(store: Any, name: int, rank: int) -> Ways:
    """Those of rank 0 and one that joins, `rank` 1, which is called `name`; RuntimeError if it is not there.

    They belong to no other group, so that no rank but these two takes part in making them.
    """
    first, second = (
        dist.ProcessGroupGloo(dist.PrefixStore(f"{way}/{name}", store), rank, 2, timedelta(seconds=WAYS_S))
        for way in ("down", "up")
    )
    return first, second
