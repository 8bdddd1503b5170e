"""Signals that ask a run to end: the first one lets it finish the step in hand, the second one ends it at once.

A rank that waits in C code never runs Python's signal handlers. So the signals are blocked, and a thread waits for
them.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import Any

__all__ = ["ENDS", "Outlook", "end_on_signals", "say_once_more"]

ENDS = {signal.SIGINT, signal.SIGTERM}
SIGNALS = {*ENDS, signal.SIGUSR2}
"""USR2 is what Slurm sends some time before the limit (`#SBATCH --signal`): NCCL may catch USR1."""
ECHO_S = 1.0
"""Signals that come this soon after another are the same one: a terminal and mpirun both pass on a Ctrl-C [s]."""
FOREVER_S = 1e7


@dataclass
class Outlook:
    """How far the run is, and what it does when it is asked to end."""

    rank: int
    place: str = "before the first round"
    file: str | None = None
    asked: int = 0
    """The signal that asked for an end; 0 for none."""
    ask: Callable[[int], None] | None = None
    """Passes the wish on; None as long as there is nothing to be saved."""
    steady: Callable[[str, int], Any] = lambda host, port: None
    """Called when the rounds begin, with host and port of rank 0."""
    patience_s: float = math.inf
    """Longest wait for the end that was asked for [s]."""


def end_on_signals(outlook: Outlook) -> None:
    """End the process on Ctrl-C, SIGTERM or SIGUSR2 with 128 + the signal; rank 0 says how far the run came.

    Once `outlook.ask` is set, the first of them only asks. To be called before NumPy is imported: only threads that
    start later inherit the blocked signals.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    Thread(target=_wait, args=(outlook,), daemon=True, name="signals").start()


def say_once_more(number: int) -> None:
    """On rank 0: what was understood."""
    name = signal.Signals(number).name
    os.write(2, f"\nhpcfl: {name}: the run ends after the step in hand; once more ends it at once\n".encode())


def _wait(outlook: Outlook) -> None:
    caught = signal.sigwait(SIGNALS)
    if outlook.ask is not None:
        outlook.asked = caught
        outlook.ask(caught)
        caught = _insisted(caught, outlook.patience_s)
    if outlook.rank == 0:
        kept = f"; {outlook.file} is readable up to there" if outlook.file else ""
        os.write(2, f"\nhpcfl: stopped by {signal.Signals(caught).name} {outlook.place}{kept}\n".encode())
    if os.isatty(1):
        os.write(1, b"\x1b[?25h")  # the live progress line hides the cursor
    os._exit(128 + caught)


def _insisted(first: int, patience_s: float) -> int:
    """Wait for a second Ctrl-C or SIGTERM (one after USR2 is a first one), or for too long."""
    heard, asked_to_end = monotonic(), first in ENDS
    end = heard + patience_s
    while (left := end - monotonic()) > 0:
        info = signal.sigtimedwait(SIGNALS, min(left, FOREVER_S))
        if info is None or info.si_signo not in ENDS:
            continue
        if not asked_to_end:
            asked_to_end, heard = True, monotonic()
        elif monotonic() - heard >= ECHO_S:  # since the first one, or a key held down would go unheard for ever
            return info.si_signo
    return first
