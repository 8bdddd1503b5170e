"""Rank 0's side of checkpoints: when one is due, what is in it, and whether the run ends here.

Between two steps everything that the run stands on is named tensors and a few numbers. They are copied there, and
written by a thread while the next jobs are trained already; one checkpoint at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from signal import Signals
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple

from torch import Tensor

from hpcfl.checkpoint.folder import Checkpoint, Piece, clear, gather, mark, newest, place, prune, remove
from hpcfl.checkpoint.server import Flight, write_server
from hpcfl.core import Send, Step
from hpcfl.errors import JobError
from hpcfl.results.files import reason, sync
from hpcfl.timelimit import TimeLimit

__all__ = ["Keeper", "Standing", "continued", "replay"]

State = dict[str, Tensor]
PATIENCE_S = 10.0
"""Longest that the round loop waits for the checkpoint before, unless it ends [s]."""


class Standing(NamedTuple):
    """How the round loop stands between two steps."""

    state: State
    failed_in_a_row: int = 0
    combined: bool = False


class Cut(NamedTuple):
    """A checkpoint in the making."""

    step: int
    state: State
    flight: Flight
    facts: dict[str, Any]
    reports: Callable[[], Sequence[Any]]


class Keeper:
    """Asked between all steps; as a context manager it waits for what is being written."""

    def __init__(
        self,
        folder: Path,
        result: Path,
        every: int,
        keep: int,
        rounds: int,
        *,
        facts: Mapping[str, Any],
        pool: Any,
        private: bool,
        ahead: bool,
        counted: Callable[[], dict[str, Any]],
        limit: TimeLimit,
        asked: Callable[[], int],
        say: Callable[[str], None],
        begin: Checkpoint | None = None,
        second: Path | None = None,
        results: Any = None,
    ):
        """`facts`: what the marker says of the run. `ahead`: jobs outlive the next step, and are kept with what they
        were sent. `counted`: what the recorder counts. `asked`: the signal that wants an end, or 0. `begin`: the one
        that the run goes on from. `second`: where each goes too. `results`: the writer of the result file."""
        self._folder, self._result, self._every, self._keep, self._rounds = folder, result, every, keep, rounds
        self._folders, self._results = (folder, second) if second else (folder,), results
        self._ailing: set[Path] = set()
        """Those of the folders that could not be written last time."""
        self._facts, self._pool, self._private, self._ahead = dict(facts), pool, private, ahead
        self._counted, self._asked, self._say = counted, asked, say
        self.limit = limit
        self.flight: Flight = {}
        self.ends = ""
        """Why the run ends before its time; empty while it does not."""
        self.signal = 0
        """The signal that asked for it."""
        self.last = self.first = begin.step if begin else -1
        """The step after which the newest checkpoint was made, and that of the one that the run goes on from."""
        self.made = 0
        """Steps of this start."""
        self._position = begin.facts["position"] - 1 if begin else 0
        self._cut: Cut | None = None
        self._thread: Thread | None = None
        self._is_late = False
        self._stepped = perf_counter()
        self.blocked_s = 0.0
        """Of the round loop, by the last checkpoint."""
        for folder in self._folders:
            with suppress(OSError):  # the next checkpoint tells that it cannot be written
                clear(folder, after=self.first)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def cut(self, step: Step, at: Standing) -> bool:
        """Whether the run ends with this step. Where a checkpoint is due, its parts are copied."""
        self._position += 1
        for job in (*step.done, *(job for job, _ in step.lost)):
            self.flight.pop(job.key, None)
        over = bool(step.done) and step.index >= self._rounds
        if step.done:
            now = perf_counter()
            self.made += 1
            self.limit.took(now - self._stepped)
            self._stepped = now
        if not over:
            self._look()
        due = step.done and self._every and step.index % self._every == 0
        if (due or self.ends) and not (self._results and self._results.waiting):  # of steps that no file has
            self.wait(None if self.ends else PATIENCE_S)
            if self._thread:
                self._late(step.index)
            elif step.index != self.last:
                self._take(step, at)
        return bool(self.ends)

    def watch(self, step: Step, send: Send) -> Send:
        """`send`, with what the jobs of the step are sent noted."""
        if not self._ahead:
            return send
        jobs = {job.client: job for job in (*step.start, *step.unused)}

        def noted(client: int) -> State:
            parcel = send(client)
            self.flight[jobs[client].key] = jobs[client], parcel
            return parcel

        for job in step.unused:
            noted(job.client)
        return noted

    @property
    def newest(self) -> str:
        """Where the newest checkpoint is, in whichever of the folders still has it whole; empty without any."""
        found = newest(self._folders, self._facts["run"], self.last, self._say)
        return str(found.path) if found else ""

    def write(self) -> None:
        """Write what was copied, now that the step is recorded; to the end where the run ends."""
        if self._cut:
            self._thread = Thread(target=self._write, args=(self._cut,), name="checkpoint")
            self._cut = None
            self._thread.start()
        if self.ends:
            self.wait()

    def wait(self, limit_s: float | None = None) -> None:
        """Until the last one is written, but not longer than so many seconds, and not again for one that took them."""
        if self._thread:
            self._thread.join(0.0 if self._is_late and limit_s is not None else limit_s)
            if not self._thread.is_alive():
                self._thread, self._is_late = None, False

    def _late(self, step: int) -> None:
        if not self._is_late:
            self._say(f"checkpoints are left out from round {step} on, until the one before is written: slow storage")
        self._is_late = True

    def _look(self) -> None:
        """Whether the run was asked to end, or has to."""
        self.signal = self._asked()
        if self.signal:
            self.ends = Signals(self.signal).name
        elif self.limit.near:
            self.ends = "Slurm's time limit"
        elif self._results and self._results.full:
            self.ends = self._results.full

    def _take(self, step: Step, at: Standing) -> None:
        begin, failures = perf_counter(), []
        for path in self._places(step.index):
            try:
                if path.exists():
                    remove(path)
                path.mkdir(parents=True)
            except OSError as failure:
                failures.append(failure)
        if len(failures) == len(self._folders):
            self._tell(step.index, failures[0])
            return
        counted = self._counted()
        reports = self._pool.keep(step.index, counted.pop("after")) if self._private else tuple
        copies: dict[int, Tensor] = {}
        state = {name: copies.setdefault(id(tensor), tensor.clone()) for name, tensor in at.state.items()}
        facts = {
            **self._facts, **counted, "step": step.index, "time": step.time, "position": self._position,
            "failed_in_a_row": at.failed_in_a_row, "combined": at.combined, "step_s": self.limit.step_s,
        }  # fmt: skip
        self._cut = Cut(step.index, state, dict(self.flight), facts, reports)
        self.blocked_s = perf_counter() - begin

    def _write(self, cut: Cut) -> None:
        """In the thread."""
        begin = perf_counter()
        try:
            pieces = [self._write_server(cut)]
            for report in cut.reports():
                if report.piece is None:
                    raise OSError(report.failure)
                pieces.append((report.piece, place(self._folders[report.where], cut.step)))
            if self._results and self._results.waiting:
                raise OSError("the result file lacks steps before it")
            sync(self._result)
            self._complete(cut, pieces)
        except Exception as failure:  # whatever it is, the run is worth more than this checkpoint
            self._tell(cut.step, failure)
        self.limit.writing_s = self.blocked_s + perf_counter() - begin

    def _places(self, step: int) -> list[Path]:
        return [place(folder, step) for folder in self._folders]

    def _write_server(self, cut: Cut) -> tuple[Piece, Path]:
        """Into the first folder where that works."""
        *others, last = self._places(cut.step)
        for path in others:
            with suppress(OSError, RuntimeError):
                return write_server(path, cut.state, cut.flight), path
        return write_server(last, cut.state, cut.flight), last

    def _complete(self, cut: Cut, pieces: Sequence[tuple[Piece, Path]]) -> None:
        """Make it whole in each folder where that works; what fails in all of them goes on."""
        failures: dict[Path, Exception] = {}
        for folder in self._folders:
            path = place(folder, cut.step)
            try:
                for piece, source in pieces:
                    gather(piece, source, path)
                mark(path, cut.facts, [piece for piece, _ in pieces])
                prune(folder, self._keep)
            except OSError as failure:
                failures[folder] = failure
        if len(failures) == len(self._folders):
            raise failures[self._folder]
        self.last = cut.step
        for folder in failures.keys() - self._ailing:
            why = reason(failures[folder])
            self._say(f"checkpoint after round {cut.step}: cannot write {folder}: {why}; it is in the other place")
        self._ailing = set(failures)

    def _tell(self, step: int, failure: Exception) -> None:
        """The run goes on without this one."""
        before = f"the last one is after round {self.last}" if self.last >= 0 else "there is none yet"
        self._say(f"checkpoint after round {step} failed: {reason(failure)}; the run goes on, {before}")
        for path in self._places(step):
            with suppress(OSError):
                remove(path)


def continued(steps: Iterator[Step], begin: Checkpoint) -> Iterator[Step]:
    """Steps on the real clock, of a schedule that was told to begin where the checkpoint is."""
    for number, step in enumerate(steps):
        if not number and step.index != begin.step:
            raise JobError(f"schedule: begins with step {step.index} where world.first = {begin.step}")
        yield step


def replay(steps: Iterator[Step], begin: Checkpoint) -> Iterator[Step]:
    """The steps that are left: of the last one that was made, only what it starts."""
    made = next(islice(steps, begin.facts["position"] - 1, None), None)
    if made is None or made.index != begin.step:
        raise JobError(
            f"checkpoint {begin.path}: the schedule is at another step than {begin.step} by now; it must follow from "
            "the job alone"
        )
    yield replace(made, done=(), lost=())
    yield from steps
