"""The folder of a run's checkpoints: what lies in it, what is complete, and what goes again.

    <result>.checkpoint/step-00000012/server.h5, rank-1.h5, ...; complete.json

`complete.json` is written last, and names every file with its size and checksum: without it there is no checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hpcfl.errors import ResultError
from hpcfl.results.files import reason, sync

__all__ = [
    "SERVER",
    "Checkpoint",
    "Piece",
    "clear",
    "folder_of",
    "gather",
    "load",
    "mark",
    "newest",
    "place",
    "prune",
    "remove",
    "require_room",
    "seal",
    "second_of",
    "seek",
]

FORMAT = "hpcfl checkpoint"
VERSION = "1.0"
MARKER = "complete.json"
SERVER = "server.h5"
CHUNK = 1 << 22
FACTS = {
    "run": (str,), "job": (dict,), "device": (str,), "execution": (int,), "jobs": (list,), "wall_s": (float, int),
    "step": (int,), "time": (float, int), "position": (int,), "failed_in_a_row": (int,), "combined": (bool,),
    "step_s": (float, int), "files": (list,),
}  # fmt: skip
"""What a marker says, and of which types; the numbers are 0 or greater."""


class Piece(NamedTuple):
    """A file of a checkpoint."""

    name: str
    bytes: int
    crc32: int


class Checkpoint(NamedTuple):
    """One that is complete."""

    path: Path
    facts: dict[str, Any]
    """What its marker says."""

    @property
    def step(self) -> int:
        """The server step after which it was made."""
        return self.facts["step"]


def folder_of(result: Path, given: str | None) -> Path:
    """Where the checkpoints of a run lie: beside its result file, unless the job says where."""
    return Path(given).absolute() if given else result.absolute().with_name(result.name + ".checkpoint")


def second_of(result: Path, second: str | None) -> Path | None:
    """The second place for them, beside which the result file itself may come to lie."""
    return folder_of(Path(second).absolute() / result.name, None) if second else None


def place(folder: Path, step: int) -> Path:
    """Where the checkpoint after a step lies."""
    return folder / f"step-{step:08}"


def require_room(folder: Path, expected_bytes: int) -> None:
    """ResultError if no checkpoints can be written there, or the file system has less space than they need."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "probe"
        probe.touch()
        probe.unlink()
        free = shutil.disk_usage(folder).free
        if made:
            folder.rmdir()
    except OSError as failure:
        why = os.strerror(failure.errno) if failure.errno else str(failure)
        raise ResultError(f"cannot write checkpoints to {folder}: {why}; choose another checkpoint.path") from failure
    if free < expected_bytes:
        raise ResultError(
            f"cannot write checkpoints to {folder}: they need about {expected_bytes / 1e6:,.0f} MB and its file system "
            f"has {free / 1e6:,.0f} MB free; make room, lower checkpoint.keep or choose another checkpoint.path"
        )


def seal(aside: Path, path: Path) -> Piece:
    """Give a file that is written its own name, once it has reached the disk."""
    sync(aside)
    crc32, size = checksum(aside)
    aside.replace(path)
    return Piece(path.name, size, crc32)


def gather(piece: Piece, source: Path, path: Path) -> None:
    """Have a file of a checkpoint in one of its folders, by copy from the other."""
    if source != path:
        aside = path / f"{piece.name}.part"
        shutil.copyfile(source / piece.name, aside)
        if seal(aside, path / piece.name) != piece:
            raise OSError(f"{source / piece.name} is damaged (its checksum differs)")


def mark(path: Path, facts: Mapping[str, Any], pieces: Sequence[Piece]) -> None:
    """Say that the checkpoint is complete."""
    sync(path)
    files = [piece._asdict() for piece in pieces]
    aside = path / f"{MARKER}.part"
    aside.write_text(json.dumps({"format": FORMAT, "format_version": VERSION, **facts, "files": files}, indent=1))
    sync(aside)
    aside.replace(path / MARKER)
    sync(path)
    sync(path.parent)


def load(path: Path) -> Checkpoint:
    """A checkpoint that was found to be whole."""
    return Checkpoint(path, json.loads((path / MARKER).read_text("utf-8")))


def seek(folder: Path, run: str, last_step: int, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint of this run (the start time of its result file) up to `last_step` that is whole.

    `say` is told of each that is not. ResultError for one of a newer format.
    """
    for path in newest_first(folder):
        if not (path / MARKER).exists():
            continue  # the run was killed while it was written
        try:
            facts = json.loads((path / MARKER).read_text("utf-8"))
            check_format(path, facts)
            files, step = check_facts(facts), facts["step"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as failure:
            say(f"checkpoint {path}: {MARKER} is damaged ({failure}); the one before it is taken")
            continue
        if facts["run"] != run:
            continue
        if wrong := next(wrongs(path, files), None):
            say(f"checkpoint {path}: {wrong}; the one before it is taken")
        elif step > last_step:
            say(f"checkpoint {path}: the result file ends after round {last_step}; the one before it is taken")
        else:
            return Checkpoint(path, facts)
    return None


def newest(folders: Iterable[Path], run: str, last_step: int, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest that `seek` finds in any of the folders, those that cannot be read left aside."""
    found = []
    for folder in folders:
        try:
            found.append(seek(folder, run, last_step, say))
        except OSError as failure:
            say(f"checkpoints in {folder} cannot be read: {reason(failure)}")
    return max(filter(None, found), key=lambda checkpoint: checkpoint.step, default=None)


def wrongs(path: Path, pieces: Sequence[Piece]) -> Iterator[str]:
    """What is wrong with the files of a checkpoint."""
    for piece in pieces:
        file = path / piece.name
        if not file.exists():
            yield f"{piece.name} is missing"
        elif (size := file.stat().st_size) != piece.bytes:
            yield f"{piece.name} has {size:,} of {piece.bytes:,} bytes"
        elif checksum(file)[0] != piece.crc32:
            yield f"{piece.name} is damaged (its checksum differs)"


def check_format(path: Path, facts: Mapping[str, Any]) -> None:
    """ResultError for a checkpoint of a newer major version."""
    if facts["format"] != FORMAT:
        raise ValueError(f"format = {facts['format']!r}")
    if int(facts["format_version"].partition(".")[0]) > int(VERSION.partition(".")[0]):
        raise ResultError(
            f"checkpoint {path} has format version {facts['format_version']}, and this hpcfl reads {VERSION}; "
            "resume with the hpcfl that wrote it, or a newer one: pip install --upgrade hpcfl"
        )


def check_facts(facts: Mapping[str, Any]) -> list[Piece]:
    """A marker's files; ValueError, KeyError or TypeError where it does not say what those who go on ask it."""
    for name, kind in FACTS.items():
        if type(facts[name]) not in kind:
            raise ValueError(f"{name} = {facts[name]!r}")
    for count in (facts[name] for name, kind in FACTS.items() if int in kind):
        if not 0 <= count < 1 << 62:
            raise ValueError(f"{count} is no number that a run comes to")
    if any(type(count) is not int or count < 0 for count in facts["jobs"]):
        raise ValueError(f"jobs = {facts['jobs']!r}")
    pieces = [Piece(**piece) for piece in facts["files"]]
    for piece in pieces:
        if type(piece.name) is not str or Path(piece.name).name != piece.name:
            raise ValueError(f"a file named {piece.name!r}")
    return pieces


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints, and what was left incomplete before them."""
    complete = [path for path in newest_first(folder) if (path / MARKER).exists()]
    for path in newest_first(folder):
        if path not in complete[:keep] and path < complete[0]:
            remove(path)


def clear(folder: Path, after: int = -1) -> None:
    """Remove every checkpoint after a step."""
    for path in newest_first(folder):
        if path.name > place(folder, after).name or after < 0:
            remove(path)


def remove(path: Path) -> None:
    """The marker first: what is half removed is no checkpoint."""
    (path / MARKER).unlink(missing_ok=True)
    shutil.rmtree(path)


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in the folder, complete or not."""
    return sorted(folder.glob("step-*"), reverse=True)


def checksum(path: Path) -> tuple[int, int]:
    """(CRC-32, bytes) of a file."""
    crc32 = size = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
    return crc32, size
