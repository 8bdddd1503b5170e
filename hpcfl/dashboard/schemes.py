"""The schemes that may be started: the job files in a folder, each with what its first lines say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hpcfl.dashboard.summary import Summary, of_job
from hpcfl.dashboard.words import writable
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile, draft, read

__all__ = ["Scheme", "find_scheme", "schemes"]


@dataclass(frozen=True)
class Scheme:
    """A job file that lies ready."""

    id: str
    """What addresses have: it says nothing of the file's name."""
    name: str
    """The file's name without .toml."""
    path: Path
    about: str
    """The comment that the file begins with."""
    job: Summary
    """The job, told as that of a run."""
    trouble: str = ""
    """Why it is no job."""


def schemes(folder: Path) -> list[Scheme]:
    """The jobs in the folder by name, sweeps left out; a file is read again only when it has changed."""
    files = sorted(path for path in folder.glob("*.toml") if path.is_file())
    found = (_scheme(path, path.stat().st_mtime_ns) for path in files)
    return [scheme for scheme in found if scheme is not None]


def find_scheme(folder: Path, number: str) -> Scheme | None:
    """The one with this id, if there is one and it is a job."""
    return next((scheme for scheme in schemes(folder) if scheme.id == number and not scheme.trouble), None)


@lru_cache(maxsize=1000)
def _scheme(path: Path, _: int) -> Scheme | None:
    known = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16], writable(path.stem), path
    try:
        if "job" in draft(str(path)).table:  # a sweep's file
            return None
        file = read(str(path))
    except JobError as failure:
        return Scheme(*known, "", Summary(), str(failure).replace(str(path), path.name))
    return Scheme(*known, _about(file), of_job(file.spec.resolved()))


def _about(file: JobFile) -> str:
    lines = []
    for line in file.text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)
