"""What a site is started with, and the folder of what it must remember."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from hpcfl.errors import JobError
from hpcfl.slurm.records import home

__all__ = ["REGISTRATION", "Settings", "own_folder", "secret"]

REGISTRATION = {
    "approval": "anyone who reaches the site; an administrator lets them in",
    "open": "anyone who reaches the site, and sees the runs at once",
    "closed": "nobody: administrators make links for new people",
}
"""Who may register."""
SECRET_BYTES = 32


@dataclass(frozen=True)
class Settings:
    """A site as its owner wants it."""

    results: Path
    """The folder of runs."""
    state: Path
    """The folder of accounts and of the session's secret."""
    prefix: str = ""
    """What comes before every path, say /node/n1/8050; a proxy may take it off or leave it."""
    proxied: bool = False
    """Whether one proxy of ours stands in front, whose X-Forwarded-* are true."""
    registration: str = "approval"
    """A key of REGISTRATION."""
    jobs: Path | None = None
    """The folder of schemes that may be started; without it none may."""
    at_once: int = 2
    """Schemes that run on this machine at a time."""


def own_folder(results: Path, environ: dict[str, str] | os._Environ) -> Path:
    """Where a site over `results` keeps its accounts unless it is told: HPCFL_HOME, else ~/.local/state/hpcfl.

    Not in the folder of runs, which groups share and file systems without locks hold.
    """
    known = hashlib.sha256(os.fsencode(results.resolve())).hexdigest()[:8]
    return home(environ) / "dashboard" / f"{results.resolve().name}-{known}"


def secret(folder: Path) -> bytes:
    """What sessions are signed with: made once, for nobody else to read. JobError where the folder cannot be used."""
    path = folder / "secret"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise JobError(f"{folder} belongs to somebody else: say --state FOLDER, one of your own")
        folder.chmod(0o700)
        if path.exists():
            known = path.stat()
            if known.st_size == SECRET_BYTES and not stat.S_IMODE(known.st_mode) & 0o077:
                return path.read_bytes()
            path.unlink()  # half-written, or others may have read it
        made = secrets.token_bytes(SECRET_BYTES)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made)
    except OSError as failure:
        raise JobError(f"accounts cannot be kept in {folder}: {failure.strerror}; say --state FOLDER") from None
    return made
