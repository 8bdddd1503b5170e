"""Ctrl-C and SIGTERM end a rank at once, wherever it is.

A rank that waits in C code never runs Python's signal handlers. So the signals are blocked, and a thread waits for
them. Nothing has to be saved then: the result file was flushed after the last step.
"""

import os
import signal
import sys
from collections.abc import Callable
from threading import Thread

__all__ = ["end_on_signals"]

SIGNALS = {signal.SIGINT, signal.SIGTERM}


def end_on_signals(last_words: Callable[[str], None]) -> None:
    """End the process on Ctrl-C or SIGTERM with 128 + the signal, after `last_words(name of the signal)`.

    To be called before other threads start: they inherit the blocked signals.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    Thread(target=_wait, args=(last_words,), daemon=True, name="signals").start()


def _wait(last_words: Callable[[str], None]) -> None:
    caught = signal.sigwait(SIGNALS)
    try:
        last_words(signal.Signals(caught).name)
        sys.stderr.flush()
    finally:
        os._exit(128 + caught)
