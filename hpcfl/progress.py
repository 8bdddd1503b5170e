"""What a person sees while a job runs: a live line in a terminal, plain lines in a batch log."""

from __future__ import annotations

import math
import sys
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from typing import Self  # Python 3.11 on

__all__ = ["Display", "Reporter", "clock"]

QUIET_S = 1.0
"""Plain lines come at most this often [s], the first and the last one always: a log of 10,000 rounds stays readable."""


class Display:
    """How much of `total` is done on `stream`: a bar named `title` in a terminal, plain lines elsewhere."""

    def __init__(self, title: str, total: int, done: int = 0, stream: TextIO | None = None, live: bool = True):
        self._console = Console(file=stream or sys.stdout, highlight=False)
        self._bar: Progress | None = None
        if live and self._console.is_terminal:
            self._bar = Progress(
                TextColumn(title), MofNCompleteColumn(), BarColumn(24), TextColumn("{task.fields[said]}"),
                console=self._console,
            )  # fmt: skip
            self._task = self._bar.add_task(title, total=total, completed=done, said="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._bar:
            self._bar.stop()

    def line(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, soft_wrap=True, markup=False)
        self._console.file.flush()


class Reporter(Display):
    """Progress of `total` rounds on `stream`: round, accuracy, loss, clients per second, time left.

    `live = False` keeps to plain lines also where the stream looks like a terminal.
    """

    def __init__(self, total: int, stream: TextIO | None = None, live: bool = True):
        super().__init__("round", total, stream=stream, live=live)
        self._total, self._done, self._clients = total, 0, 0
        self._begin = self._said = perf_counter()
        self._found = ""

    def step(self, index: int, clients: int, loss: float, accuracy: float, own: float = math.nan) -> None:
        """Round `index` is over; `loss` and `accuracy` are NaN where it was not evaluated: the last ones, if any, stay.

        `own`: accuracy of the clients' own models, where they have any.
        """
        now = perf_counter()
        self._done, self._clients = self._done + 1, self._clients + clients
        if not math.isnan(accuracy):
            clients_own = "" if math.isnan(own) else f"clients' own {own:.4f}  "
            self._found = f"accuracy {accuracy:.4f}  {clients_own}loss {loss:.4f}  "
        elapsed = max(now - self._begin, 1e-9)
        left = (self._total - index) * elapsed / self._done
        said = f"{self._found}{self._clients / elapsed:.3g} clients/s  ETA {clock(left)}"
        if self._bar:
            self._bar.update(self._task, completed=index, said=said)
        elif index == self._total or self._done == 1 or now - self._said >= QUIET_S:
            self._said = now
            self.line(f"round {index}/{self._total}  {said}")


def clock(seconds: float) -> str:
    """65 -> 1:05, 3700 -> 1:01:40."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
