"""Cells as processes of this machine: so many at a time, ended together, and none stopped by another's failure."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from hpcfl.errors import LaunchError
from hpcfl.launch import mpirun
from hpcfl.signals import ECHO_S
from hpcfl.sweep.condition import Condition, inspect
from hpcfl.sweep.file import Cell, Run
from hpcfl.timelimit import UNFINISHED

__all__ = ["Outcome", "launcher", "run_cells"]

POLL_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""What asks for an end. SIGUSR2 is Slurm's word before the time limit, and passed on as it came."""
AGAIN = {"unfinished": ["checkpoint.resume=auto"], "empty": ["results.overwrite=true"]}
"""What a cell that ran before needs to be told: one without a checkpoint begins anew by itself."""
LAST_WORDS = 4096
"""Bytes at the end of a log in which the reason of a failure is looked for."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    status: str
    """done, failed, or stopped: it was asked to end, or did not begin."""
    accuracy: float
    seconds: float
    reason: str = ""


@dataclass
class Running:
    """A cell at work."""

    cell: Cell
    process: subprocess.Popen
    began: float = field(default_factory=monotonic)


def run_cells(
    cells: Iterable[tuple[Cell, Condition]], run: Run, progress: Any, link: Path | None = None
) -> dict[str, Outcome]:
    """Name -> outcome of all cells, `run.parallel` at a time, in their order.

    `link` is made to lead to the result file of the cell that began last. The first Ctrl-C, SIGTERM or SIGUSR2 is
    passed on to the cells at work, and no other begins; the second one kills them, if the first was no SIGUSR2.
    """
    start = launcher(run)
    waiting, working, outcomes = deque(cells), list[Running](), dict[str, Outcome]()
    asked: list[int] = []
    heard = -math.inf

    def pass_on(number: int, _: object) -> None:
        nonlocal heard
        echo, heard = monotonic() - heard < ECHO_S, monotonic()
        if not (asked and echo):
            for each in working:
                tell(each.process, ending(number, asked, start))
            asked.append(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        while working or (waiting and not asked):
            while waiting and len(working) < run.parallel and not asked:
                cell, condition = waiting.popleft()
                working.append(Running(cell, begin(cell, condition, start)))
                progress.began(cell)
                if link:
                    point(link, cell)
            for each in [each for each in working if each.process.poll() is not None]:
                working.remove(each)
                if each.process.returncode == UNFINISHED:  # Slurm's limit is near: the next one would not get far
                    asked.append(signal.SIGUSR2)
                outcomes[each.cell.name] = ended(each, bool(asked))
                progress.ended(each.cell, outcomes[each.cell.name])
            progress.look([each.cell for each in working])
            sleep(POLL_S if working else 0)
    finally:
        for each in working:  # only where this process itself fails
            tell(each.process, signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)
    for cell, condition in waiting:
        outcomes[cell.name] = Outcome("stopped", condition.accuracy, condition.seconds, "not begun")
    return outcomes


def launcher(run: Run, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What goes before the command of a cell, to start its ranks; nothing for one. LaunchError without an mpirun."""
    if run.ranks == 1:
        return []
    if run.launcher == "srun" or (run.launcher == "auto" and "SLURM_JOB_ID" in environ):
        cpus = environ.get("SLURM_CPUS_PER_TASK", "1")
        shared = ["--exact"] if run.parallel > 1 else []  # else a step takes all of the job
        return ["srun", f"--ntasks={run.ranks}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1", *shared]
    found = mpirun()
    if found is None:
        raise LaunchError(
            f"cells of {run.ranks} ranks need an mpirun, and there is none beside this Python or on the path: "
            "pip install 'hpcfl[mpich]', or take one rank"
        )
    return [*found, "-np", str(run.ranks)]


def begin(cell: Cell, condition: Condition, start: list[str]) -> subprocess.Popen:
    """Start the cell in a session of its own: the keyboard's Ctrl-C reaches it through this process alone."""
    changes = list(AGAIN.get(condition.status, ()))
    if cell.job.spec.checkpoint.requeue:  # the task goes back into the queue as a whole
        changes.append("checkpoint.requeue=false")
    again = [word for change in changes for word in ("--set", change)]
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with cell.log.open("wb") as log:
        return subprocess.Popen(
            [*start, sys.executable, "-m", "hpcfl", *cell.arguments, *again],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def point(link: Path, cell: Cell) -> None:
    """Make the link lead to the cell's result file, whatever it led to."""
    with suppress(OSError):  # it only serves `hpcfl status`
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(cell.path.absolute())


def ending(number: int, before: Sequence[int], start: Sequence[str]) -> int:
    """What the cells get of the signal: SIGKILL if they were asked to end before, other than by SIGUSR2.

    mpirun passes on SIGTERM, but dies of SIGUSR2.
    """
    if set(before) - {signal.SIGUSR2}:
        return signal.SIGKILL
    through_mpirun = bool(start) and Path(start[0]).name == "mpirun"
    return signal.SIGUSR2 if number == signal.SIGUSR2 and not through_mpirun else signal.SIGTERM


def tell(process: subprocess.Popen, number: int) -> None:
    """Signal the process. mpirun and srun pass on to their ranks what asks for an end; SIGKILL they cannot."""
    if number != signal.SIGKILL:
        process.send_signal(number)
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def ended(each: Running, asked: bool) -> Outcome:
    """What came of it: done only if its file says so."""
    code, found = each.process.returncode, inspect(each.cell)
    if found.status == "done" and code == 0:
        return Outcome("done", found.accuracy, found.seconds)
    seconds = monotonic() - each.began
    if asked:
        return Outcome("stopped", found.accuracy, seconds)
    return Outcome("failed", found.accuracy, seconds, why(each.cell, code))


def why(cell: Cell, code: int) -> str:
    """The first line of the reason in the log, else the last line there is."""
    with cell.log.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS))
        lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    said = [line.partition("error: ")[2] for line in lines if line.startswith("hpcfl: error: ")]
    ending = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return said[0] if said else f"{ending}: {lines[-1].strip()}" if lines else ending
