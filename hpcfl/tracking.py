"""Curves to look at elsewhere: every step's row goes to Weights & Biases and TensorBoard, which never break the run.

A tracker works in a thread of its own. The round loop only hands rows over; what the tracker raises is told once and
ends the tracker alone, and one that hangs is waited for at the end of the run only, and not for long.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Protocol

from hpcfl.components import check_signature
from hpcfl.core import first_line
from hpcfl.errors import JobError
from hpcfl.schema import JobSpec, Tracking, Wandb

__all__ = ["Trackers", "require"]

CLOSE_S = 60.0
"""Longest wait for the trackers at the end of a run [s]."""
WANDB = {
    "silent": True,  # the terminal belongs to the progress ...
    "console": "off",  # ... which is not copied either
    "login_timeout": 0.1,  # nobody is asked for a key in the middle of a run
    "init_timeout": 30.0,  # wandb's own limits [s] must end before CLOSE_S: it waits at the exit of the process too
    "finish_timeout": 30.0,
    "finish_timeout_raises": True,
}
FLUSH_S = 10
"""TensorBoard's events reach the disk this often [s]."""


class Tracker(Protocol):
    """Where rows go; made in the thread that then calls it."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Log the finite values of a row of /rounds."""

    def close(self, finished: bool) -> None:
        """The run is over."""


class WandbRun:
    """A run of Weights & Biases."""

    def __init__(self, given: Wandb, job: JobSpec):
        import wandb

        params = {"config": job.resolved(), **given.params}
        settings = wandb.Settings(**{**WANDB, **params.pop("settings", {})})
        mode = given.mode or wandb.setup(settings).settings.mode
        self._run = wandb.init(
            project=given.project, name=given.name or job.name, mode=given.mode, settings=settings, **params
        )
        if self._run.disabled and mode != "disabled":
            raise PermissionError("not logged in; run `wandb login` first, or say mode = 'offline'")

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class TensorBoardRun:
    """TensorBoard's events, in the first free one of FOLDER/NAME, FOLDER/NAME-2, ...: curves of two runs never mix."""

    def __init__(self, folder: str, name: str):
        from torch.utils.tensorboard import SummaryWriter

        number, path = 1, Path(folder, name)
        while path.exists():
            number += 1
            path = Path(folder, f"{name}-{number}")
        self._writer = SummaryWriter(str(path), flush_secs=FLUSH_S)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, finished: bool) -> None:
        self._writer.close()


class Desk(Thread):
    """One tracker at work: opened, fed and closed in this thread."""

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], say: Callable[[str], None]):
        super().__init__(name=f"tracking {name}", daemon=True)
        self.tracker, self.lost = name, False
        self._open, self._say = open_tracker, say
        self._rows: SimpleQueue[Mapping[str, float] | bool] = SimpleQueue()
        self.start()

    def hand(self, row: Mapping[str, float] | bool) -> None:
        """A row, or how the run ended; nothing is kept for a tracker that stopped."""
        if self.is_alive():
            self._rows.put(row)

    def leave(self) -> None:
        """Wait no longer."""
        if self.is_alive():
            self._tell(f"is not done after {CLOSE_S:g} s")

    def run(self) -> None:
        try:
            tracker = self._open()
            while not isinstance(row := self._rows.get(), bool):
                tracker.step(int(row["step"]), {name: value for name, value in row.items() if name != "step"})
            tracker.close(finished=row)
        except BaseException as failure:  # also the SystemExit and KeyboardInterrupt of a library that wants to leave
            self._tell(f"stopped: {first_line(failure).rstrip('.')}")

    def _tell(self, what: str) -> None:
        if not self.lost:
            self.lost = True
            self._say(f"tracking: {self.tracker} {what}; the run goes on without it")


class Trackers:
    """The trackers that a job asks for; on rank 0 only. `say` tells the user a line."""

    def __init__(self, job: JobSpec, say: Callable[[str], None]):
        given = job.tracking
        openers: dict[str, Callable[[], Tracker]] = {}
        if given.wandb is not None:
            openers["wandb"] = lambda: WandbRun(given.wandb, job)
        if given.tensorboard is not None:
            openers["tensorboard"] = lambda: TensorBoardRun(given.tensorboard, job.name)
        self._desks = [Desk(name, opener, say) for name, opener in openers.items()]

    @property
    def lost(self) -> bool:
        """Whether one stopped or was left: what it does at the exit of the process cannot be trusted either."""
        return any(desk.lost for desk in self._desks)

    def step(self, row: Mapping[str, float]) -> None:
        """Hand over a row of /rounds; NaN, which is what was not measured, is left out."""
        for desk in self._desks:
            desk.hand({name: value for name, value in row.items() if not math.isnan(value)})

    def close(self, finished: bool) -> None:
        """Let the trackers bring everything home, for CLOSE_S at most."""
        end = monotonic() + CLOSE_S
        for desk in self._desks:
            desk.hand(finished)
        for desk in self._desks:
            desk.join(max(0.0, end - monotonic()))
            desk.leave()

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(finished=kind is None)


def require(given: Tracking) -> None:
    """Import what the job's trackers need; JobError names the extra that brings it, or a key that wandb.init lacks."""
    if given.tensorboard is not None:
        load("tensorboard")
    if given.wandb is not None:
        check_signature("tracking.wandb", load("wandb").init, given.wandb.params, given=0)


def load(package: str) -> Any:
    """The package of a tracker."""
    try:
        module = importlib.import_module(package)
        if module.__file__ is None:  # the folder ./wandb of earlier runs passes for a package where there is none
            raise ModuleNotFoundError(name=package)
    except Exception as failure:
        missing = isinstance(failure, ModuleNotFoundError) and failure.name == package
        why = "is not installed" if missing else f"cannot be imported ({first_line(failure)})"
        raise JobError(f"tracking.{package}: needs {package}, which {why}: pip install 'hpcfl[{package}]'") from None
    return module
