"""The TCP connections that this process opened for a group, so that they can be cut: gloo cannot give up a wait."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Connections"]

FOLDER = Path("/proc/self/fd")


class Connections:
    """Connections, each under what it is for."""

    def __init__(self, spared: int):
        """`spared`: a port whose connections are never cut."""
        self._spared = spared
        self._opened: dict[object, set[tuple[int, str]]] = {}

    @contextmanager
    def noted(self, key: object) -> Iterator[None]:
        """Those that are opened in the block are for `key`, together with the earlier ones."""
        before = _sockets()
        try:
            yield
        finally:
            self._opened[key] = self._opened.get(key, set()) | (_sockets() - before)

    def cut(self, *keys: object) -> None:
        """Shut down what is for these keys (all without any): whoever waits on it, at either end, fails at once."""
        for key in keys or list(self._opened):
            for number, _ in self._opened.pop(key, set()) & _sockets():
                with suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
                    self._shut(found)

    def _shut(self, found: socket.socket) -> None:
        if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
            return
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return
        if self._spared not in (found.getsockname()[1], found.getpeername()[1]):
            found.shutdown(socket.SHUT_RDWR)


def _sockets() -> set[tuple[int, str]]:
    """(descriptor, name) of all sockets; none where the system does not say, and a wait ends with its limit."""
    found = set()
    with suppress(OSError):
        for path in FOLDER.iterdir():
            with suppress(OSError):
                name = str(path.readlink())
                if name.startswith("socket:"):
                    found.add((int(path.name), name))
    return found
