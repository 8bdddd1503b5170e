"""Processes of this machine that outlive the site: started, recognised again after its restart, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["alive", "begin", "end", "is_here"]

CHILDREN: dict[int, subprocess.Popen] = {}
"""Those of this site's own, to be waited for when they end."""


def begin(command: Sequence[str], log: Path) -> tuple[str, str]:
    """Start it in a session of its own, so that the keyboard's Ctrl-C does not reach it: (number, when it began).

    OSError where there is something at `log`: a link put there might lead to a file of ours.
    """
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as said:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    CHILDREN[child.pid] = child
    return str(child.pid), f"{socket.gethostname()} {_ticks(child.pid)}"


def is_here(began: str) -> bool:
    """Whether it is a process of this machine."""
    return began.partition(" ")[0] == socket.gethostname()


def alive(number: str, began: str) -> bool:
    """Whether it goes on. A later process of the same number began at another time."""
    child = CHILDREN.get(int(number))
    if child is not None and child.poll() is not None:
        CHILDREN.pop(child.pid, None)  # another request may have seen it too
    return is_here(began) and _ticks(int(number)) == began.partition(" ")[2]


def end(number: str, began: str, *, kill: bool) -> None:
    """Ask it to end, as Ctrl-C would: mpirun passes that on. `kill`: end it and all that it started, at once."""
    if not alive(number, began):
        return
    with suppress(ProcessLookupError):
        if kill:
            os.killpg(int(number), signal.SIGKILL)
        else:
            os.kill(int(number), signal.SIGTERM)


def _ticks(number: int) -> str:
    """When the process began, by the kernel's clock; nothing where there is none, or it has ended and not been waited
    for."""
    try:
        words = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]
