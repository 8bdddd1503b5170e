"""Schemes at work: started here or by Slurm, looked after, cancelled."""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import sys
import threading
import time
from typing import NamedTuple

from sqlalchemy import select

from hpcfl.dashboard import processes
from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.database import Start, User, db
from hpcfl.dashboard.schemes import Scheme
from hpcfl.dashboard.settings import Settings
from hpcfl.errors import JobError, SlurmError
from hpcfl.jobfile import read
from hpcfl.slurm.client import Queued, ask, queue
from hpcfl.slurm.script import script
from hpcfl.slurm.site import read_site
from hpcfl.slurm.submit import prepare, send
from hpcfl.sweep.file import Run
from hpcfl.sweep.local import launcher

__all__ = ["cancel", "last_words", "look", "places", "run_of", "start", "started"]

FOLDER = "started"
"""In the folder of runs."""
TOLD_S = 5.0
"""Slurm is asked at most so often."""
LAST_BYTES = 64 * 1024
"""Of a log, what is shown."""
STARTING = threading.Lock()
"""Two who start at once are counted one after the other."""


def places() -> list[str]:
    """Where a scheme can run."""
    return ["local", *(["slurm"] if shutil.which("sbatch") else [])]


def start(settings: Settings, user: User, scheme: Scheme, seed: int, ranks: int, place: str) -> Start:
    """Start it, in the person's name. JobError where too many run already; LaunchError, SlurmError as they come."""
    with STARTING:
        here = [each for each in started() if each.place == "local" and look(each) == "running"]
        if place == "local" and len(here) >= settings.at_once:
            raise JobError(f"{len(here)} schemes are running here, as many as may at once: wait for one, or cancel it")
        # chance, and no count: sites with different accounts may write into one folder
        name = f"{FOLDER}/{re.sub(r'[^A-Za-z0-9_.-]', '_', scheme.name)}-seed{seed}-{secrets.token_hex(4)}"
        row = Start(
            user_id=user.id, scheme=scheme.name, seed=seed, ranks=ranks, place=place, result=f"{name}.h5",
            log=f"{name}.log",
        )  # fmt: skip
        try:
            (settings.results / FOLDER).mkdir(exist_ok=True)
            begin = _locally if place == "local" else _by_slurm
            row.number, row.began = begin(settings, row, scheme)
        except OSError as failure:
            raise JobError(f"cannot be started: {failure}") from None
        db.session.add(row)  # not before: whoever writes keeps all others from it, and sbatch may take a minute
        db.session.commit()
    return row


def started() -> list[Start]:
    """What was started, the latest first."""
    return list(db.session.scalars(select(Start).order_by(Start.id.desc())))


def look(row: Start) -> str:
    """waiting (in Slurm's queue), running, away (on another machine of the site's owner), ended or cancelled."""
    if row.ended:
        return "cancelled" if row.cancelled else "ended"
    if row.place == "local":
        if not processes.is_here(row.began):
            return "away"
        return "running" if processes.alive(row.number, row.began) else _ended(row)
    try:
        queued = QUEUE.ask(row.since).get(row.number)
    except SlurmError:  # its controller is away: what it runs goes on
        return "waiting"
    if queued is None:
        return _ended(row)
    return "waiting" if queued.state == "PENDING" else "running"


def cancel(row: Start, *, kill: bool = False) -> None:
    """Ask it to end, once; `kill`: end a local one at once. SlurmError in Slurm's words."""
    if row.place == "slurm":
        ask("scancel", row.number)
    elif kill or not row.cancelled:  # a run that is asked again leaves its step unfinished
        processes.end(row.number, row.began, kill=kill)
    row.cancelled = True
    db.session.commit()


def run_of(row: Start) -> str:
    """The id of the run that it writes."""
    return run_id(row.result.removesuffix(".h5"))


def last_words(settings: Settings, row: Start) -> str:
    """The end of its log; nothing where a link was put in its place."""
    try:
        with os.fdopen(os.open(settings.results / row.log, os.O_RDONLY | os.O_NOFOLLOW), "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


class Answer(NamedTuple):
    """What Slurm said of its queue."""

    asked: float
    """When, on the calendar's clock, as that of starts."""
    came: float
    """On the monotonic clock."""
    told: dict[str, Queued] | str
    """The caller's jobs by id, or why there was no answer."""


class Queue:
    """Slurm's queue, as it was a few seconds ago."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._answer = Answer(-math.inf, -math.inf, {})

    def ask(self, since: float) -> dict[str, Queued]:
        """The caller's jobs by id, as they were after `since`. SlurmError where its controller is away, or only now
        is being asked: who asks meanwhile does not wait."""
        if self._asking.acquire(blocking=False):
            try:
                if self._answer.asked <= since or time.monotonic() - self._answer.came > TOLD_S:
                    self._answer = _answer()
            finally:
                self._asking.release()
        answer = self._answer
        if answer.asked <= since:
            raise SlurmError("Slurm is being asked")
        if isinstance(answer.told, str):
            raise SlurmError(answer.told)
        return answer.told


QUEUE = Queue()


def _answer() -> Answer:
    asked = time.time()
    try:
        told: dict[str, Queued] | str = queue()
    except SlurmError as failure:
        told = str(failure)
    return Answer(asked, time.monotonic(), told)


def _ended(row: Start) -> str:
    row.ended = True
    db.session.commit()
    return "cancelled" if row.cancelled else "ended"


def _locally(settings: Settings, row: Start, scheme: Scheme) -> tuple[str, str]:
    shared = Run(ranks=row.ranks, parallel=settings.at_once)
    command = [*launcher(shared), sys.executable, "-m", "hpcfl", "run", str(scheme.path)]
    words = ["--set", f"seed={row.seed}", "--out", str(settings.results / row.result)]
    return processes.begin([*command, *words], settings.results / row.log)


def _by_slurm(settings: Settings, row: Start, scheme: Scheme) -> tuple[str, str]:
    out, overrides = str(settings.results / row.result), [f"seed={row.seed}"]
    file = read(str(scheme.path), overrides, out)
    request, result = prepare(str(scheme.path), file, overrides, out, {"ranks_per_node": row.ranks})
    record = send(script(request, read_site(None, os.environ)), request, str(scheme.path), result)
    return record.id, ""
