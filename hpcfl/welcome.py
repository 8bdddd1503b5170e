"""Rank 0's side of a rank that joins: who may, what it is told, and whether it would compute the same."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hpcfl
from hpcfl.build import Parts
from hpcfl.jobfile import JobFile
from hpcfl.transport.door import Door, hear, say
from hpcfl.transport.lifeline import LOOPBACK
from hpcfl.transport.network import is_known

__all__ = ["credentials", "doorway", "unlike", "versions"]

PACKAGES = ("torch", "numpy")
"""Those whose version may change a bit."""

SAME = "job, data or first model"


def versions() -> dict[str, str]:
    """What two ranks of one run must have in common."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"hpcfl": hpcfl.__version__, "python": python, **{name: version(name) for name in PACKAGES}}


def credentials(job: JobFile, parts: Parts) -> dict[str, str]:
    """What a rank has built, equal on those that compute the same; each under what a user would call it."""
    return {
        SAME: f"{job.digest} {parts.fingerprint}",
        "device": parts.world.initial.device.type,
        "CUDA graphs": parts.execution.graphs,
    }


def unlike(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Why a process with `theirs` cannot join the run; empty if it can."""
    apart = [
        f"has another {name}" if name == SAME else f"has {name} {theirs.get(name)!s:.100}, the run {said}"
        for name, said in mine.items()
        if theirs.get(name) != said
    ]
    return f"this process {'; '.join(apart)}; it needs what the run has" if apart else ""


@contextmanager
def doorway(
    job: JobFile, parts: Parts, transport: Any, results: Path, say_to_user: Callable[[str], None], apart: bool
) -> Iterator[None]:
    """Let ranks join while the block lasts, if the job wants that; the address is in a file that the user alone reads.

    `apart`: messages go to one rank at a time.
    """
    if not job.spec.server.joinable or transport.size == 1:
        yield
        return
    told = {
        "name": job.spec.name, "text": job.text, "job": job.spec.resolved(), "cwd": str(Path.cwd()),
        "folder": str(job.folder or ""), "size": parts.batched.size if parts.batched else 0,
        "graphs": parts.execution.graphs, "device": parts.world.initial.device.type,
    }  # fmt: skip

    def welcome(line: socket.socket) -> bool:
        if refusal := unlike(versions(), hear(line)["versions"]):
            say(line, refused=refusal)
            return False
        say(line, refused="", **told)
        line.settimeout(job.spec.server.timeout_s)
        ready = hear(line)
        if refusal := unlike(credentials(job, parts), ready["credentials"]):
            say(line, refused=refusal)
            return False
        return transport.admit(line, int(ready["process"]), str(ready["place"]), str(ready["host"])[:200], apart)

    name = socket.gethostname()
    reached = transport.address[0] not in LOOPBACK or is_known(name)
    door = Door(name if reached else LOOPBACK[0], welcome)
    file = results.with_name(f"{results.name}.join")
    try:
        with suppress(FileNotFoundError):  # of a run that was killed
            file.unlink()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{door.address}\n")
        say_to_user(f"more ranks may join: hpcfl join {file}")
    except OSError:  # storage that fails is no reason to let nobody in
        say_to_user(f"more ranks may join: hpcfl join {door.address}")
    try:
        yield
    finally:
        door.close()
        with suppress(OSError):
            file.unlink()
