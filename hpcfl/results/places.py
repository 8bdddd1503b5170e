"""Where a result file may go: what lies there already, and whether there is room."""

import shutil
from pathlib import Path

from hpcfl.errors import ResultError

__all__ = ["check_path", "check_space"]

# What a run needs besides its rows and models: the indexes and the first chunk of each column.
MARGIN_BYTES = 8 * 2**20


def check_path(path: Path, overwrite: bool) -> None:
    """ResultError if no result file may be written there."""
    if path.is_dir():
        raise ResultError(f"{path} is a directory; --out takes a file's name, say {path / 'run.h5'}")
    if path.parent.exists() and not path.parent.is_dir():
        raise ResultError(f"cannot write {path}: {path.parent} is not a folder; choose another --out")
    if path.exists() and not path.is_file():
        raise ResultError(f"{path} is not a regular file; choose another --out")
    if path.exists() and not overwrite:
        raise ResultError(
            f"{path} exists and is not overwritten; choose another --out, or say --set results.overwrite=true"
        )


def check_space(path: Path, expected_bytes: int) -> None:
    """ResultError if its file system has less free space than that and a margin of 8 MiB."""
    free = shutil.disk_usage(path.parent).free
    if free < expected_bytes + MARGIN_BYTES:
        raise ResultError(
            f"cannot write {path}: the run needs about {(expected_bytes + MARGIN_BYTES) / 1e6:,.0f} MB and its "
            f"file system has {free / 1e6:,.0f} MB free; make room or choose another --out"
        )
