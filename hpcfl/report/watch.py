"""A run while it goes on: its curve, how far it is, how long it will take, read from the file that it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hpcfl.errors import ResultError
from hpcfl.progress import QUIET_S, clock
from hpcfl.report.curve import curve
from hpcfl.report.show import ENDINGS
from hpcfl.results import open_results
from hpcfl.sweep.condition import is_ours, locked

__all__ = ["watch"]

COLUMNS = ("step", "wall", "accuracy", "client_accuracy", "loss")
DRAWN = {"accuracy": "accuracy", "client_accuracy": "accuracy of the clients' own models", "loss": "loss"}
"""Columns that a curve may be of; the first one that has been evaluated is drawn."""
RECENT = 20
"""Rounds that the time left is judged by."""
HEIGHT = 12
"""Lines of the curve."""
STRIKES = 3
"""Looks in succession at a file that is not ours, before it is said so: one look may meet a file half-written."""


@dataclass(frozen=True)
class View:
    """A run as it stands."""

    name: str
    status: str
    planned: int
    """Rounds that it will make; 0 where the job does not say."""
    rounds: dict[str, np.ndarray]

    @property
    def step(self) -> int:
        return int(self.rounds["step"][-1])

    @property
    def over(self) -> bool:
        return self.status != "running"


def watch(path: Path, console: Console, wait_s: float = 60.0, every_s: float = 1.0) -> bool:
    """Follow the run that writes `path`, drawn anew where `console` is a terminal, in plain lines elsewhere.

    Returns whether it finished, once it has ended or was killed: once nothing has come for `wait_s` while no process
    has the file open, or a process had it and left it without a word. ResultError if so long there is no such file, or
    it has no round; and for a file that is none of ours.
    """
    if not console.is_terminal:
        return follow(path, wait_s, every_s, Lines(console))
    with Live(Text(f"waiting for {path}"), console=console, auto_refresh=False) as live:

        def draw(view: View, said: str) -> None:
            live.update(picture(view, said, console), refresh=True)

        return follow(path, wait_s, every_s, draw)


class Lines:
    """Plain lines, at most one each second, the first and the last one always."""

    def __init__(self, console: Console):
        self._console, self._said, self._step = console, -math.inf, -1

    def __call__(self, view: View, said: str) -> None:
        now = time.monotonic()
        if (view.step != self._step and now - self._said >= QUIET_S) or said:
            if view.step != self._step:
                self._print(line(view))
            if said:
                self._print(said)
            self._said, self._step = now, view.step

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)
        self._console.file.flush()


def follow(path: Path, wait_s: float, every_s: float, tell: Callable[[View, str], None]) -> bool:
    """Look, and `tell(view, how it ended, or nothing)`, until the run is over."""
    news, seen_at_work, strikes, view = time.monotonic(), False, 0, None
    while True:
        at_work = any(map(locked, (path, path.with_name(path.name + ".new"))))
        failure = None
        try:
            before, view = view, look(path)
            if before is None or view.step != before.step:
                news = time.monotonic()
        except ResultError as error:
            failure, view = error, None
            strikes = strikes + 1 if path.exists() and not is_ours(path) else 0
            if strikes == STRIKES:
                raise
        if view and view.over and not at_work:  # a run that is resumed is written aside first
            tell(view, f"{path}: {ENDINGS.get(view.status, view.status)}")
            return view.status == "finished"
        left = seen_at_work and not at_work
        idle = time.monotonic() - news
        if not at_work and (left or idle > wait_s):
            if failure:
                raise ResultError(f"{failure} (waited {idle:.0f} s; --wait SECONDS waits longer)")
            why = "the process that wrote it is gone" if left else f"nothing new for {idle:.0f} s, and nobody writes it"
            tell(view, f"{path}: NOT FINISHED: {why}")
            return False
        seen_at_work = at_work
        if view:
            tell(view, "")
        time.sleep(every_s)


def look(path: Path) -> View:
    """The run as it stands."""
    with open_results(path) as run:
        rounds = {name: run.rounds[name] for name in COLUMNS if name in run.rounds}
        job = run.job
        return View(str(job.get("name") or path.stem), run.status, job.get("rounds") or 0, rounds)


def line(view: View) -> str:
    """The run in a line, with the last accuracies and loss that are known."""
    told = {"accuracy": "accuracy", "clients' own": "client_accuracy", "loss": "loss"}
    last = {title: _last(view.rounds.get(name, np.zeros(0))) for title, name in told.items()}
    said = [f"{title} {value:.4f}" for title, value in last.items() if not math.isnan(value)]
    of = f"/{view.planned}" if view.planned else ""
    return "  ".join([f"round {view.step}{of}", *said, f"ETA {eta(view)}"])


def eta(view: View) -> str:
    """Time left, if the rounds to come take as long as the last ones; "-" where that is not known."""
    wall, steps = view.rounds["wall"][-RECENT - 1 :], view.rounds["step"][-RECENT - 1 :]
    if not view.planned or steps[-1] == steps[0]:
        return "-"
    return clock(max(0.0, (view.planned - view.step) * float(wall[-1] - wall[0]) / float(steps[-1] - steps[0])))


def picture(view: View, said: str, console: Console) -> Group:
    """Name, curve, and where it stands."""
    braille = (console.encoding or "").lower().startswith("utf")
    known = [name for name in DRAWN if not np.isnan(view.rounds.get(name, np.nan)).all()]
    drawn = known[0] if known else "loss"
    height = max(4, min(HEIGHT, console.height - 5))
    lines = curve(view.rounds["step"], view.rounds[drawn], min(console.width, 100) - 1, height, braille)
    top = f"{view.name}: {DRAWN[drawn]} against rounds" if lines else f"{view.name}: not evaluated yet"
    parts = [Text(top, style="bold"), *(Text(part, no_wrap=True) for part in lines), Text(line(view))]
    if view.planned:
        width = min(40, console.width - 8)
        done = round(width * min(1.0, view.step / view.planned))
        full, rest = ("\u2588", "\u2591") if braille else ("#", ".")
        parts.append(Text(f"{full * done}{rest * (width - done)} {view.step / view.planned:.0%}"))
    return Group(*parts, *([Text(said, style="bold")] if said else []))


def _last(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else math.nan
