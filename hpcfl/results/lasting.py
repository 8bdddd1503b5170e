"""A writer that outlasts its storage: what cannot be written waits in memory, up to a bound, until it can."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from hpcfl.errors import StorageError
from hpcfl.results.sections import Tensor
from hpcfl.results.writer import EVENT_BYTES, Writer

__all__ = ["Lasting"]

BOUND_BYTES = 256 * 2**20
RETRY_S = 1.0
NOTES = ("loss", "join")
"""Writes that belong to no step: they stay, whatever step the file is put back to."""


class Entry(NamedTuple):
    """A call of the writer that waits."""

    write: Callable[..., None]
    arguments: tuple[Any, ...]
    bytes: int


class Lasting(Writer):
    """As Writer; but a write that fails is tried again with each later one, and once more at the end.

    What came since the last step that is in the file is always kept: a file that was torn half-way through a write is
    put back to that step, and the rest written again.
    """

    def __init__(
        self,
        path: Path,
        *,
        second: Path | None = None,
        bound: int = BOUND_BYTES,
        retry_s: float = RETRY_S,
        say: Callable[[str], None] = print,
        **options: Any,
    ):
        """`second`: the folder for the file if at the end it cannot be written at `path`. `bound`: bytes that may wait.
        `retry_s`: time between two attempts [s], more where they take long. `say` is told when writing fails, and when
        it works again."""
        super().__init__(path, **options)
        self._second, self._bound, self._retry_s, self.say = second, bound, retry_s, say
        self._entries: list[Entry] = []
        self._written = 0
        """How many of them are in the file already, behind its last step."""
        self._failure = self._cause = ""
        """Why the last attempt failed, and the first of those since it last worked."""
        self._next = 0.0

    @property
    def waiting(self) -> str:
        """Why the file lacks steps; empty while it lacks none."""
        return self._failure

    @property
    def full(self) -> str:
        """Why the run cannot go on; empty while it can."""
        kept = sum(entry.bytes for entry in self._entries)
        return f"{kept / 1e6:,.0f} MB that could not be written" if self._failure and kept > self._bound else ""

    def step(self, row: Mapping[str, float], events: Sequence[Mapping[str, object]] = ()) -> None:
        """As Writer's."""
        self._keep(super().step, (row, events), EVENT_BYTES * (1 + len(events)))

    def clients(self, step: int, loss: np.ndarray, accuracy: np.ndarray, *test: np.ndarray) -> None:
        """As Writer's."""
        columns = [column.copy() for column in (loss, accuracy, *test)]
        self._keep(super().clients, (step, *columns), sum(column.nbytes for column in columns))

    def metrics(self, rows: Sequence[Mapping[str, object]]) -> None:
        """As Writer's."""
        self._keep(super().metrics, (rows,), EVENT_BYTES * len(rows))

    def model(self, step: int, vector: np.ndarray, layout: Sequence[Tensor], name: str = "global") -> None:
        """As Writer's."""
        self._keep(super().model, (step, vector.copy(), layout, name), vector.nbytes)

    def state(self, step: int, name: str, values: np.ndarray) -> None:
        """As Writer's."""
        self._keep(super().state, (step, name, values.copy()), values.nbytes)

    def loss(self, rank: int, why: str) -> None:
        """As Writer's."""
        self._keep(super().loss, (rank, why), EVENT_BYTES)

    def join(self, rank: int, host: str) -> None:
        """As Writer's."""
        self._keep(super().join, (rank, host), EVENT_BYTES)

    def resume(self, step: int, *given: Any) -> None:
        """As Writer's. Of what waits, the ranks that were lost or joined are still told: the steps are made again."""
        if self._started:  # it finds the file, or puts it back
            self._settle()
        if self._file is None:
            raise StorageError(f"{self._failure}; the run cannot go back to step {step}")
        super().resume(step, *given)
        self._entries = [entry for entry in self._entries if entry.write.__name__ in NOTES]
        self._written = 0

    def finish(self, ending: str = "finished") -> None:
        """As Writer's, with all that waits. Where it cannot be written a last time, the whole file goes to `second`."""
        self._settle()
        if self._failure:  # what had been removed lies there again by now
            self._settle()
        if self._failure and self._second:
            self.path, self._aside = vacant(self._second / self.path.name), self._second / self._aside.name
            self._settle(anew=True)
        if self._failure:
            raise StorageError(f"{self._failure}; the steps after it are lost, and made again by hpcfl run --resume")
        super().finish(ending)

    def reopen(self, why: str, again: Collection[int] = ()) -> None:
        """As Writer's; what waits is written again from its beginning."""
        models = {entry.arguments[0] for entry in self._entries if entry.write.__name__ in ("model", "state")}
        super().reopen(why, models.union(again))
        self._written = 0

    def _keep(self, write: Callable[..., None], arguments: tuple[Any, ...], size: int) -> None:
        self._entries.append(Entry(write, arguments, size))
        if not self._failure or monotonic() >= self._next:
            self._settle()

    def _settle(self, anew: bool = False) -> None:
        """Write what waits, as far as it goes; `anew`: to another place than before."""
        begin, cause = monotonic(), self._cause
        try:
            if self._file is None or anew:
                self.reopen(cause)
            self._find()
            while self._written < len(self._entries):
                entry = self._entries[self._written]
                entry.write(*entry.arguments)
                if entry.write.__name__ in NOTES:
                    del self._entries[self._written]
                    continue
                self._written += 1
                if entry.write.__name__ == "step":
                    del self._entries[: self._written]
                    self._written = 0
            if cause:
                self.remark(cause)
        except StorageError as failure:
            self._failure = str(failure)
            self._cause = cause or self._failure
            took = monotonic() - begin
            self._next = monotonic() + self._retry_s * max(1.0, 10 * took)
            if not cause:
                bound = f"{self._bound / 1e6:,.0f} MB"
                self.say(f"{failure}; the run goes on, and keeps what follows in memory, up to {bound}")
            return
        self._failure = self._cause = ""
        if cause:
            self.say(f"{self.path} is written again: all steps up to {self._last_step:.0f} are in it")


def vacant(path: Path) -> Path:
    """The path, or NAME-2.h5, NAME-3.h5 and so on beside it: the first at which nothing lies."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists())
