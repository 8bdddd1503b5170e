"""Slurm's own programs, asked as a person would ask them."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

from hpcfl.errors import SlurmError

__all__ = ["Queued", "ask", "queue"]

LIMIT_S = 60.0
"""Longest wait for an answer [s]: a busy controller takes its time."""


def ask(program: str, *arguments: str, given: str | None = None) -> str:
    """What the program prints when it gets `given` on its input. SlurmError if it is not there, or refuses."""
    try:
        done = subprocess.run(
            [program, *arguments], input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except FileNotFoundError:
        raise SlurmError(
            f"there is no Slurm here: {program} is not on the path. On a machine without it, mpirun starts the ranks: "
            "mpirun -np 9 hpcfl run JOB"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{program} did not answer within {LIMIT_S:.0f} s: is Slurm's controller up?") from None
    if done.returncode:
        raise SlurmError(done.stderr.strip() or f"{program} ended with exit code {done.returncode}")
    return done.stdout


class Queued(NamedTuple):
    """A job, or the task of an array, that Slurm has not done with."""

    state: str
    """RUNNING, PENDING, ..."""
    left: str
    """Time until the limit, as Slurm writes it."""
    reason: str
    """Why it waits, or on which nodes it runs."""


def queue() -> dict[str, Queued]:
    """The caller's jobs by id; the tasks of an array are 12_0, 12_1, ..."""
    lines = ask("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%L|%R").splitlines()
    return {number: Queued(*rest) for number, *rest in (line.split("|", 3) for line in lines)}
