"""Which result files a user means: by their paths, by patterns, or by the folders that they lie in."""

from collections.abc import Iterable
from glob import glob
from os import PathLike
from pathlib import Path

from hpcfl.errors import ResultError

__all__ = ["find", "inside"]


def find(files: str | PathLike | Iterable[str | PathLike]) -> list[Path]:
    """The files that a path, a folder or a pattern ("results/*.h5", ** for folders of any depth) names, or several of
    them, sorted within each. ResultError where one names none.
    """
    given = [files] if isinstance(files, str | PathLike) else list(files)
    found: dict[Path, None] = {}
    for name in given:
        paths = named(Path(name))
        if not paths:
            raise ResultError(f"there is no {'*.h5 in the folder' if Path(name).is_dir() else 'file'} {name}")
        found |= dict.fromkeys(paths)
    if not found:
        raise ResultError("no result files were given")
    return list(found)


def named(name: Path) -> list[Path]:
    """What one of them names; a file whose name looks like a pattern is that file."""
    if name.is_dir():
        return inside(name)
    return [name] if name.exists() else _of_runs(map(Path, glob(str(name), recursive=True)))  # noqa: PTH207 - also absolute


def inside(folder: Path) -> list[Path]:
    """All *.h5 in a folder and in those below it, sorted."""
    return _of_runs(folder.rglob("*.h5"))


def _of_runs(paths: Iterable[Path]) -> list[Path]:
    """Checkpoints lie beside the results, and are HDF5 files too."""
    return sorted(path for path in paths if not any(above.suffix == ".checkpoint" for above in path.parents))
