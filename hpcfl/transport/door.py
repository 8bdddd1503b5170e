"""Where processes that come late ask rank 0 to let them in, and how both talk: JSON over a connection, never pickle.

Whoever knows the address may come in: it ends with a secret. The connection stays, as the lifeline of the new rank.
"""

from __future__ import annotations

import hmac
import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from hpcfl.errors import JobError
from hpcfl.transport.lifeline import LOOPBACK, listening

__all__ = ["Address", "Door", "hear", "say"]

PATIENCE_S = 20.0
"""Longest wait for the first word of whoever comes [s]."""
SECRET_BYTES = 16
HELLO = 4096
"""Bytes that a stranger may say at most."""
LIMIT = 2**26
"""Bytes of a text: a job with all of its fields has some thousands."""
LENGTH = struct.Struct("!I")


class Address(NamedTuple):
    """Where the door is, and what opens it."""

    host: str
    port: int
    secret: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.secret}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST:PORT/SECRET, or the path of a file that holds this; JobError for anything else."""
        try:
            text = Path(text).read_text("utf-8") if Path(text).is_file() else text
        except (OSError, UnicodeDecodeError) as failure:
            raise JobError(f"{text} cannot be read: {failure}") from None
        place, _, secret = text.strip().partition("/")
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535 or not secret:
            raise JobError(
                f"{text.strip()[:100]!r} is neither HOST:PORT/SECRET nor a file of such an address, which a run with "
                "server.joinable = true has beside its results while others may join"
            )
        return cls(host, int(port), secret)


class Door:
    """On rank 0: each that knows the secret is given to `welcome`, with its connection, in a thread of its own.

    Where that does not take it in, the connection is closed.
    """

    def __init__(self, host: str, welcome: Callable[[socket.socket], bool]):
        """`host`: how others find this one; its loopback where they cannot."""
        self._welcome = welcome
        self._listener = listening(host in LOOPBACK)
        self._listener.settimeout(None)
        self.address = Address(host, self._listener.getsockname()[1], os.urandom(SECRET_BYTES).hex())
        Thread(target=self._open, daemon=True, name="door").start()

    def close(self) -> None:
        """Let nobody in any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _open(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                line, _ = self._listener.accept()
                Thread(target=self._let_in, args=(line,), daemon=True, name="newcomer").start()

    def _let_in(self, line: socket.socket) -> None:
        taken = False
        try:
            line.settimeout(PATIENCE_S)
            said = str(hear(line, HELLO).get("secret")).encode()
            taken = hmac.compare_digest(said, self.address.secret.encode()) and self._welcome(line)
        except (OSError, ValueError, KeyError, TypeError):  # it is gone, or means something else
            return
        finally:
            if not taken:
                line.close()


def say(line: socket.socket, **facts: Any) -> None:
    """Send facts: numbers, texts, and lists and tables of these."""
    text = json.dumps(facts).encode()
    line.sendall(LENGTH.pack(len(text)) + text)


def hear(line: socket.socket, limit: int = LIMIT) -> dict[str, Any]:
    """What was said. ValueError if it is something else, OSError if the other end is gone."""
    (length,) = LENGTH.unpack(_bytes(line, LENGTH.size))
    if length > limit:
        raise ValueError(f"{length} bytes, where {limit} are the most")
    found = json.loads(_bytes(line, length))
    if not isinstance(found, dict):
        raise ValueError("no table")
    return found


def _bytes(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = line.recv(min(count - len(found), 1 << 16))
        if not more:
            raise ConnectionError("it was closed")
        found += more
    return found
