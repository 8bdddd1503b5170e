"""Files that must not be half there: a write that fails, and what must have reached the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

import h5py

__all__ = ["DAMAGE", "abandon", "locked", "reason", "reserve", "sync", "there"]

DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    MemoryError,
)
"""What reading an HDF5 file may raise that is damaged, or holds something else than it should."""

AHEAD_BYTES = 1 << 20
"""Room on the disk that a file has beyond its end while it grows."""


def abandon(file: h5py.File) -> None:
    """Let go of a file that cannot be written.

    HDF5 would try again when the file is closed and when the process exits, and was seen to spoil the file and
    to crash. So what it still has to say goes to memory, and the file on disk stays as it is.
    """
    memory = os.memfd_create("hpcfl")
    os.dup2(memory, file.id.get_vfd_handle())
    os.close(memory)
    with suppress(OSError, RuntimeError):
        file.close()


def reason(error: Exception) -> str:
    """The operating system's own words, which h5py wraps in many others."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)  # its own text has quotes
    found = re.search(r"error message = '([^']*)'", told)
    return found[1] if found else told


def locked(path: Path) -> bool:
    """Whether a process that writes it has it open, as far as the file system tells: HDF5 locks what it writes."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def reserve(file: h5py.File, more: int = 0) -> None:
    """Have room on the disk for `more` bytes and what HDF5 writes along with them; OSError where there is none.

    HDF5 that meets a full disk half-way leaves a torn file, and was seen to crash: so the disk is asked first.
    """
    handle, end = file.id.get_vfd_handle(), file.id.get_filesize() + AHEAD_BYTES + more
    if (size := os.fstat(handle).st_size) >= end:
        return
    try:
        os.posix_fallocate(handle, size, end + AHEAD_BYTES - size)
    except OSError as failure:
        if failure.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def there(file: h5py.File, path: Path) -> bool:
    """Whether `path` still leads to the open file, which nobody has removed or replaced, or unmounted."""
    try:
        return os.path.samestat(os.fstat(file.id.get_vfd_handle()), path.stat())
    except OSError:  # gone, or its server is, or a ticket has run out
        return False


def sync(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
