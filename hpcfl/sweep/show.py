"""What a person sees of a sweep: how far the whole is, each cell as it ends, and a table of all at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpcfl.progress import Display, clock
from hpcfl.sweep.condition import Condition, step_of
from hpcfl.sweep.file import Cell
from hpcfl.sweep.local import Outcome

__all__ = ["Overview", "show_cells"]

LOOK_S = 1.0
"""How often the running cells' files are read [s]."""
STYLES = {"done": "green", "failed": "bold red", "foreign": "bold red", "stopped": "yellow", "running": "yellow"}


class Overview(Display):
    """Progress of a sweep's cells on `stream`; `done` are there already."""

    def __init__(self, cells: int, done: int, stream: TextIO | None = None):
        super().__init__("cells", cells, done, stream)
        self._cells, self._before, self._ended = cells, done, 0
        self._begin = self._looked = monotonic()

    def began(self, cell: Cell) -> None:
        """A cell is at work."""
        if not self._bar:
            self.line(f"{cell.name} begins")

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """A cell is over; it gets a line of its own."""
        self._ended += 1
        number = self._before + self._ended
        self.line(f"cell {number}/{self._cells}  {cell.name}  {told(outcome)}  ETA {self._left(self._ended)}")
        if self._bar:
            self._bar.update(self._task, completed=number)

    def look(self, working: Sequence[Cell]) -> None:
        """In a terminal, now and then: how far the cells at work are."""
        if not self._bar or monotonic() - self._looked < LOOK_S:
            return
        self._looked = monotonic()
        made = {cell: step_of(cell) for cell in working}
        share = self._ended + sum(step / cell.job.spec.rounds for cell, (step, _) in made.items())
        said = "  ".join(f"{cell.name} {step}/{cell.job.spec.rounds}" for cell, (step, _) in made.items())
        self._bar.update(self._task, completed=self._before + share, said=f"ETA {self._left(share)}  {said}")

    def _left(self, share: float) -> str:
        """Time until the end, if the other cells take as long as those so far."""
        if not share:
            return "-"
        return clock((self._cells - self._before - share) * (monotonic() - self._begin) / share)


def told(outcome: Outcome) -> str:
    """An outcome in a line."""
    accuracy = "" if math.isnan(outcome.accuracy) else f"  accuracy {outcome.accuracy:.4f}"
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"{outcome.status}{accuracy}  {outcome.seconds:.1f} s{reason}"


def show_cells(cells: Sequence[Cell], ended: Mapping[str, Outcome | Condition], console: Console) -> None:
    """A row per cell: what became of it, its last accuracy, its seconds, and why it failed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cell", "status", "accuracy", "seconds", ""):
        table.add_column(title, justify="right" if title in ("accuracy", "seconds") else "left", overflow="fold")
    for cell in cells:
        found = ended[cell.name]
        reason = found.reason if isinstance(found, Outcome) else found.note
        numbers = (
            "-" if math.isnan(value) else form.format(value)
            for value, form in ((found.accuracy, "{:.4f}"), (found.seconds, "{:.1f}"))
        )
        status = Text(found.status, style=STYLES.get(found.status, ""))
        table.add_row(Text(cell.name), status, *numbers, Text(reason))
    console.print(table)
