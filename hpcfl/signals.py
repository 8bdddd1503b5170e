"""Ctrl-C and SIGTERM end a rank at once, wherever it is.

A rank that waits in C code never runs Python's signal handlers. So the signals are blocked, and a thread waits for
them. Nothing has to be saved then: the result file was flushed after the last step.
"""

import os
import signal
from dataclasses import dataclass
from threading import Thread

__all__ = ["Outlook", "end_on_signals"]

SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass
class Outlook:
    """How far the run is, for the last words of an interrupted one."""

    rank: int
    place: str = "before the first round"
    file: str | None = None


def end_on_signals(outlook: Outlook) -> None:
    """End the process on Ctrl-C or SIGTERM with 128 + the signal; rank 0 says how far the run came.

    To be called before NumPy is imported: only threads that start later inherit the blocked signals.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    Thread(target=_wait, args=(outlook,), daemon=True, name="signals").start()


def _wait(outlook: Outlook) -> None:
    caught = signal.sigwait(SIGNALS)
    if outlook.rank == 0:
        kept = f"; {outlook.file} is readable up to there" if outlook.file else ""
        os.write(2, f"\nhpcfl: stopped by {signal.Signals(caught).name} {outlook.place}{kept}\n".encode())
    if os.isatty(1):
        os.write(1, b"\x1b[?25h")  # the live progress line hides the cursor
    os._exit(128 + caught)
