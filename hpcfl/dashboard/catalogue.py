"""The runs in a folder: what a list tells of each, read once and again only when its file has changed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hpcfl.dashboard.summary import Summary, starting, summarise
from hpcfl.dashboard.words import writable
from hpcfl.errors import ResultError
from hpcfl.results.files import locked

__all__ = ["Catalogue", "Run", "run_id", "stamp"]

LOOK_S = 1.0
"""The folder is looked through at most so often."""
SILENT_S = 60.0
"""Where locks do not work, a run is taken for dead if its file has not changed for so long."""
SKIPPED = (".checkpoint",)
"""Endings of folders in which no results lie."""


@dataclass(frozen=True)
class Run:
    """A run, as its file was when it was last read."""

    id: str
    """What addresses have: it says nothing of the file's name."""
    path: Path
    name: str
    """The file's path from the folder of runs, without .h5."""
    size: int
    changed: float
    """When the file last changed (seconds since 1970)."""
    place: tuple[int, int]
    """Device and inode."""
    status: str
    """finished, interrupted, failed, running, stopped (was killed), starting (no round yet) or unreadable."""
    summary: Summary
    """What its file tells."""
    trouble: str = ""
    """Why it cannot be read."""

    @property
    def live(self) -> bool:
        """Whether a process is at it."""
        return self.status in ("running", "starting")

    @property
    def readable(self) -> bool:
        """Whether it has a round to show."""
        return self.status not in ("starting", "unreadable")


Stamp = tuple[int, int, int]
"""Change time [ns], size, inode."""


class Catalogue:
    """The runs in a folder and the folders in it. Links are not followed: what is shown lies where it seems to."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Stamp, Run]] = {}
        self._looked = 0.0
        self.complete = False
        """Whether every file has been read once."""

    def runs(self) -> list[Run]:
        """All runs as they stand: those that go on first, then the newest, last what is none.

        While another thread looks, those that it had.
        """
        self._bring_up_to_date()
        found = [run for _, run in list(self._known.values())]
        return sorted(found, key=lambda run: (not run.live, run.status == "unreadable", -run.changed, run.name))

    @staticmethod
    def content(run: Run) -> BinaryIO:
        """The run's file. ResultError if another one has taken its place: who may write in the folder must not have
        the site show what it may read."""
        try:
            file = os.fdopen(os.open(run.path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as failure:
            raise ResultError(f"{run.name} cannot be read: {failure.strerror}") from None
        there = os.fstat(file.fileno())
        if (there.st_dev, there.st_ino) != run.place:
            file.close()
            raise ResultError(f"{run.name} has just changed: load the page again")
        return file

    def find(self, wanted: str) -> Run | None:
        """The run with this id, as it stands; None if there is none."""
        self._bring_up_to_date()
        _, run = self._known.get(wanted, (None, None))
        return run

    def _bring_up_to_date(self) -> None:
        if time.monotonic() - self._looked > LOOK_S and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()

    def _look(self) -> None:
        there = set()
        for path, stat in _files(self.folder):
            name = path.relative_to(self.folder).with_suffix("").as_posix()
            number = run_id(name)
            there.add(number)
            stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
            before = self._known.get(number)
            if before and before[0] == stamp and not _look_again(before[1]):
                self._known[number] = stamp, judge(before[1])
                continue
            self._known[number] = stamp, judge(_read(number, path, name, stat))
        for gone in self._known.keys() - there:
            del self._known[gone]
        self._looked, self.complete = time.monotonic(), True


def run_id(name: str) -> str:
    """The id of the run whose file has this name: the same after every start of the site."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def stamp(path: Path) -> str:
    """What changes with the file. ResultError where it is gone."""
    try:
        stat = path.stat()
    except OSError:
        raise ResultError(f"there is no file {path}") from None
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _look_again(run: Run) -> bool:
    """Whether a file that is as it was may be read otherwise: its writer may have died, or was in the middle of a
    change when it was read."""
    return run.status == "starting" or (run.status == "unreadable" and time.time() - run.changed < SILENT_S)


def judge(run: Run) -> Run:
    """A run that has not ended goes on if a process has its file open, or has just written it."""
    if run.status not in ("running", "stopped"):
        return run
    at_work = time.time() - run.changed < SILENT_S or locked(run.path)
    return replace(run, status="running" if at_work else "stopped")


def _read(number: str, path: Path, name: str, stat: os.stat_result) -> Run:
    looks = 2
    known = number, path, writable(name), stat.st_size, stat.st_mtime, (stat.st_dev, stat.st_ino)
    while True:
        try:
            summary = summarise(path)
            return Run(*known, summary.status, summary)
        except Exception as failure:  # whatever is wrong with one file, the others are shown
            begun = starting(path)
            if begun and (locked(path) or time.time() - stat.st_mtime < SILENT_S):
                return Run(*known, "starting", begun)
            if looks := looks - 1:
                continue  # its first round may have come between the two
            said = str(failure) if isinstance(failure, ResultError) else f"is damaged ({type(failure).__name__})"
            return Run(*known, "unreadable", begun or Summary(), writable(said.replace(str(path), path.name)))


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.endswith(SKIPPED) or entry.is_symlink():
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.name.endswith(".h5") and entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
        except OSError:  # it is gone, or its folder lets nobody look
            continue
