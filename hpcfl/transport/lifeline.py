"""A connection from each rank to rank 0 that says one thing: this rank lives.

It closes by itself when a process dies, whatever it was doing; of one that hangs nothing comes. Rank 0 answers on it
what a rank must know while its main thread waits for somebody who will never come.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

from hpcfl.errors import LaunchError

__all__ = ["FAILED", "LEAVES", "LOOPBACK", "WRONG", "Lifeline", "Lifelines", "Line", "listening"]

PULSE_S = 1.0
"""Seconds between two signs of life."""
LIVES, LEAVES, FAILED, WRONG = b".", b"q", b"f", b"w"
"""What a rank says: it lives; it leaves, as all do; it failed; it failed, and so would every other."""
HELLO = 200
"""Bytes of the line by which a rank makes itself known."""
LOOPBACK = ("127.0.0.1", "localhost")
"""Hosts that only this one can be."""
LIMIT_S = 300.0
"""Longest wait for a rank's connection [s]."""


class Line(NamedTuple):
    """Rank 0's end of a connection."""

    socket: socket.socket
    process: int
    place: str
    """Equal on ranks that see one another's processes; empty where that is not known."""


class Lifelines:
    """On rank 0: the connections to all others. `lost(rank, why, said)` is called once for each that is lost, in a
    thread; `said`: FAILED or WRONG where the rank said so itself, else nothing."""

    def __init__(self, store: Any, host: str, size: int, place: str, silence_s: float,
                 lost: Callable[[int, str, bytes], None]):  # fmt: skip
        self._place, self._silence_s, self._lost = place, silence_s, lost
        self._lock, self._left, self._selector = Lock(), Event(), DefaultSelector()
        token = os.urandom(16).hex()
        near = host in LOOPBACK
        with listening(near) as listener:
            store.set("lifelines", f"{host} {listener.getsockname()[1]} {token}")
            self._lines = dict(sorted(self._welcomed(listener, size, token)))
        for rank, line in self._lines.items():
            self._selector.register(line.socket, EVENT_READ, rank)
        Thread(target=self._watch, daemon=True, name="lifelines").start()

    @property
    def living(self) -> list[int]:
        """The ranks that are left."""
        with self._lock:
            return list(self._lines)

    def add(self, rank: int, line: Line) -> None:
        """Watch a rank that came late, too."""
        with self._lock:
            self._lines[rank] = line
        self._selector.register(line.socket, EVENT_READ, rank)

    def tell(self, text: str) -> None:
        """Send a line to everybody."""
        with self._lock:
            for line in self._lines.values():
                with suppress(OSError):
                    line.socket.sendall(f"{text}\n".encode())

    def give_up(self, rank: int, why: str) -> None:
        """A rank is lost although it is there: its process is ended, so that nobody waits for it."""
        self._drop(rank, why, kill=True)

    def leave(self) -> None:
        """The run is over."""
        self._left.set()
        with self._lock:
            for line in self._lines.values():
                line.socket.close()
            self._lines.clear()

    def _welcomed(self, listener: socket.socket, size: int, token: str) -> list[tuple[int, Line]]:
        found: dict[int, Line] = {}
        while len(found) < size - 1:
            try:
                line, _ = listener.accept()
                line.settimeout(LIMIT_S)
                said = _hello(line).split(" ", 3)
            except OSError as failure:
                late = ", ".join(str(rank) for rank in range(1, size) if rank not in found)
                raise LaunchError(f"rank {late} did not connect to rank 0: {failure}") from None
            if len(said) == 4 and said[0] == token:  # whoever else finds the port is not heard
                found[int(said[1])] = Line(line, int(said[2]), said[3].strip())
        return list(found.items())

    def _watch(self) -> None:
        """Hear the signs of life. Silence is counted in looks: while this process stands still nobody is to blame."""
        silent: dict[int, int] = {}
        looked = monotonic()
        while not self._left.is_set():
            for key, _ in self._selector.select(max(0.0, looked + PULSE_S - monotonic())):
                silent[key.data] = 0
                self._hear(key.data, key.fileobj)
            if monotonic() < looked + PULSE_S:
                continue
            looked = monotonic()
            for rank in self.living:
                silent[rank] = silent.get(rank, 0) + 1
                if silent[rank] * PULSE_S > self._silence_s:
                    self._drop(rank, f"rank {rank} hangs: no sign of life for {self._silence_s:g} s", kill=True)

    def _hear(self, rank: int, line: Any) -> None:
        try:
            said = line.recv(4096)
        except OSError:
            said = b""
        if LEAVES in said:  # a sign of life may come behind it
            self._drop(rank, "")
        elif word := next((word for word in (FAILED, WRONG) if word in said), b""):
            self._drop(rank, f"rank {rank} failed", said=word)
        elif not said:
            self._drop(rank, f"rank {rank} died: its connection closed")

    def _drop(self, rank: int, why: str, said: bytes = b"", kill: bool = False) -> None:
        with self._lock:
            line = self._lines.pop(rank, None)
            if line is None or self._left.is_set():
                return
            with suppress(KeyError, ValueError):
                self._selector.unregister(line.socket)
            if kill:
                self._end(line)
            line.socket.close()
        if why:
            self._lost(rank, why, said)

    def _end(self, lost: Line) -> None:
        """End the process: here, or by a rank of its node; if it wakes up before, it ends itself."""
        if lost.place and lost.place == self._place:
            _kill(lost.process)
            return
        near = [line for line in self._lines.values() if line.place and line.place == lost.place]
        with suppress(OSError):
            lost.socket.sendall(b"gone\n")
        with suppress(OSError):
            for line in near[:1]:
                line.socket.sendall(f"kill {lost.process}\n".encode())


class Lifeline:
    """On every other rank: its connection to rank 0."""

    def __init__(self, line: socket.socket, rank: int, cut: Callable[[int], None]):
        """`cut(generation)` is called, in a thread, when groups older than that one are of no use any more."""
        self._rank, self._cut, self._left = rank, cut, Event()
        self._socket = line
        self._socket.settimeout(None)
        Thread(target=self._beat, daemon=True, name="lifeline").start()

    @classmethod
    def to(cls, store: Any, rank: int, place: str, cut: Callable[[int], None]) -> Lifeline:
        """A new one, to where the store says."""
        host, port, token = store.get("lifelines").decode().split()
        line = socket.create_connection((host, int(port)), LIMIT_S)
        line.sendall(f"{token} {rank} {os.getpid()} {place}".encode().ljust(HELLO))
        return cls(line, rank, cut)

    def leave(self, said: bytes = LEAVES) -> None:
        """No more signs of life, and why."""
        if not self._left.is_set():
            self._left.set()
            with suppress(OSError):
                self._socket.sendall(said)

    def _beat(self) -> None:
        rest = b""
        with suppress(OSError, ValueError):  # rank 0 is gone; the main thread meets that by itself
            while not self._left.is_set():
                self._socket.sendall(LIVES)
                if select.select([self._socket], [], [], PULSE_S)[0]:
                    heard = self._socket.recv(4096)
                    if not heard:
                        return
                    *lines, rest = (rest + heard).split(b"\n")
                    for line in lines:
                        self._obey(*line.decode().split())

    def _obey(self, word: str, number: str = "0") -> None:
        if word == "cut":
            self._cut(int(number))
        elif word == "kill":
            _kill(int(number))
        elif word == "gone":
            os.write(2, f"hpcfl: rank {self._rank} woke up after rank 0 had given it up; it ends\n".encode())
            os._exit(1)


def _hello(line: socket.socket) -> str:
    said = b""
    while len(said) < HELLO and (more := line.recv(HELLO - len(said))):
        said += more
    return said.decode(errors="replace")


def listening(near: bool) -> socket.socket:
    """A socket that ranks connect to: from this host alone if all are near."""
    if not near and socket.has_dualstack_ipv6():
        listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    else:
        listener = socket.create_server(("127.0.0.1" if near else "", 0), backlog=1024)
    listener.settimeout(LIMIT_S)
    return listener


def _kill(process: int) -> None:
    with suppress(OSError):
        os.kill(process, signal.SIGKILL)
