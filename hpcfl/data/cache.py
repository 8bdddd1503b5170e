"""Datasets as they were read, kept as .npy files that all ranks of a node map into memory: parsed once, held once.

An entry is a folder with an array per file and a description in JSON; its name says from which files, by their names,
sizes and times, it was read; of folders with many thousands it is the folders' times, which tell of files that come
and go. It is written aside and renamed. A cache that is damaged or cannot be written is not used,
and nobody is told: the dataset is read from its files as without one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from string import Template
from threading import Event
from typing import Any

import numpy as np

from hpcfl.data.dataset import Dataset
from hpcfl.errors import DataError, JobError

__all__ = ["SMALL", "cached", "find_cache", "find_stage"]

VERSION = 1
"""Of the entries, and of how the readers understand the files: another number, another entry."""
SMALL = 1 << 20
"""Bytes of files below which reading them takes no time worth keeping; a folder stands for more than that."""
PATIENCE_S = 600.0
"""Longest wait for another rank that reads the same dataset [s]."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test", "holders")
FACTS = ("classes", "labels", "mean", "std", "tokens")
DESCRIPTION = "dataset.json"


def find_cache(given: bool | str, environ: Mapping[str, str]) -> Path | None:
    """The folder of the cache: `given` (data.cache) if it is one, else HPCFL_CACHE, else ~/.cache/hpcfl.

    None for false.
    """
    if given is False:
        return None
    try:
        folder = Path(given if isinstance(given, str) else environ.get("HPCFL_CACHE") or "~/.cache/hpcfl").expanduser()
    except RuntimeError:  # a user without a home
        return None
    return folder.absolute()


def find_stage(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The folder on this node's disk that `given` (data.stage) means, made if it is not there; None for None.

    JobError where it names a variable that is not set, or cannot be written.
    """
    if given is None:
        return None
    try:
        folder = Path(Template(given).substitute(environ)).expanduser().absolute() / "hpcfl"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (KeyError, ValueError) as failure:
        said = f"{failure.args[0]} is not set" if isinstance(failure, KeyError) else "a $ begins no name of a variable"
    except (OSError, RuntimeError) as failure:
        said = f"cannot be written: {failure}"
    else:
        return folder
    raise JobError(
        f"data.stage = {given!r}: {said} on {socket.gethostname()}; should be a folder on the node's own disk"
    )


def cached(
    folder: Path | None, name: str, params: Mapping[str, Any], files: Sequence[Path], read: Callable[[], Dataset]
) -> Dataset:
    """What `read` makes of the files: from the cache if it is there, and kept there if it is not.

    One rank reads, the others that ask for the same wait for it. Without a folder or with few files there is no cache.
    """
    try:
        seen = [(str(file.absolute()), file.stat()) for file in sorted(files)]
    except OSError:
        seen = []
    if folder is None or sum(SMALL if S_ISDIR(stat.st_mode) else stat.st_size for _, stat in seen) < SMALL:
        return read()
    asked = _digest([VERSION, name, params, os.path.commonpath([path for path, _ in seen])])
    there = _digest([(path, stat.st_size, stat.st_mtime_ns) for path, stat in seen])
    stem = f"{name}-{asked}"
    entry = folder / f"{stem}-{there}"
    found = _map(entry)
    if found is None:
        with _alone(folder, stem) as alone:
            found = _map(entry)
            if found is None and alone:
                dataset = read()
                return _map(entry) or dataset if _keep(dataset, entry, stem) else dataset
    return found or read()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _map(entry: Path) -> Dataset | None:
    """The dataset of an entry; None where there is none, or a damaged one.

    Mapped copy-on-write: PyTorch wants arrays that could be written, and whoever did would write for himself alone.
    """
    try:
        told = json.loads((entry / DESCRIPTION).read_text("utf-8"))
        # allow_pickle=False: a file of data must not be able to run code.
        arrays = {
            name: np.load(entry / f"{name}.npy", mmap_mode="c", allow_pickle=False).view(np.ndarray)
            for name in told["arrays"]
        }
        if told["arrays"] != {name: _form(array) for name, array in arrays.items()}:
            return None
        facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in told["facts"].items()}
        return Dataset(**arrays, **facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, DataError):
        return None


def _form(array: np.ndarray) -> list:
    return [array.dtype.str, list(array.shape)]


def _keep(dataset: Dataset, entry: Path, stem: str) -> bool:
    """Write an entry, and remove older ones of the same dataset; whether it could be."""
    arrays = {name: getattr(dataset, name) for name in ARRAYS if getattr(dataset, name) is not None}
    told = {
        "arrays": {name: _form(array) for name, array in arrays.items()},
        "facts": {name: getattr(dataset, name) for name in FACTS},
    }
    try:
        aside = Path(tempfile.mkdtemp(prefix=".", dir=entry.parent))
    except OSError:
        return False
    try:
        for name, array in arrays.items():
            np.save(aside / f"{name}.npy", array, allow_pickle=False)
        (aside / DESCRIPTION).write_text(json.dumps(told), "utf-8")
        aside.chmod(0o755)
        for old in entry.parent.glob(f"{stem}-*/"):
            shutil.rmtree(old, ignore_errors=True)
        aside.rename(entry)
        return True
    except OSError:
        return False
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _alone(folder: Path, stem: str) -> Iterator[bool]:
    """Hold the lock of a dataset; False without it: the folder cannot be written, or another rank takes too long."""
    handle = None
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / f".{stem}.lock").open("w")
    if handle is None:
        yield False
        return
    with handle:
        end, pause = time.monotonic() + PATIENCE_S, Event()
        held = False
        while not held and time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                pause.wait(0.02)
            except OSError:  # a file system without locks
                break
        yield held
