"""A result file is opened for reading: by nobody else, without a lock, and with clear words where it cannot be."""

import io
import math
from pathlib import Path

import h5py

from hpcfl.errors import ResultError
from hpcfl.results.files import reason
from hpcfl.results.format import FORMAT, VERSION

__all__ = ["check_format", "open_content", "open_file", "plain", "trouble", "values"]


def open_content(path: Path) -> io.FileIO:
    """The file's bytes. Raises ResultError if there is none, or if it cannot be an HDF5 file."""
    if not path.exists():
        raise ResultError(f"there is no file {path}")
    if path.is_dir():
        raise ResultError(f"{path} is a directory; give the result file in it")
    if not path.is_file():  # nor is it opened: a pipe would keep whoever opens it waiting
        raise ResultError(f"{path} is a pipe or a device; give a result file, which is read at any place")
    try:
        content = io.FileIO(path)
    except OSError as error:
        raise ResultError(f"cannot read {path}: {reason(error)}") from error
    if not h5py.is_hdf5(path):
        content.close()
        what = "is not an HDF5 file" if path.stat().st_size else "is empty"
        raise ResultError(f"{path} {what}; result files are written by 'hpcfl run'")
    return content


def open_file(content: io.FileIO, path: Path) -> h5py.File:
    """The result file with this content. Raises ResultError if it is none, or one of a newer major version.

    HDF5 would share what it remembers of a file with all in this process who opened it by its name. So it gets the
    bytes instead, and reads them as they are now. It also takes no lock: a reader must not keep a run from writing, nor
    fail where locks do not work.
    """
    file = h5py.File(content, "r")
    check_format(path, file)
    return file


def check_format(path: Path, file: h5py.File) -> None:
    """Raises ResultError if it is someone else's file, or one of a newer major version."""
    if plain(file.attrs.get("format", "")) != FORMAT:
        raise ResultError(f"{path} is an HDF5 file, but not a result file of hpcfl (no attribute format={FORMAT!r})")
    version = plain(file.attrs.get("format_version", "0"))
    if int(version.partition(".")[0]) > int(VERSION.partition(".")[0]):
        raise ResultError(
            f"{path} has format version {version}, and this hpcfl reads {VERSION}; read it with the hpcfl that "
            "wrote it, or a newer one: pip install --upgrade hpcfl"
        )


def values(dataset: h5py.Dataset, rows: int | None = None) -> object:
    """An array, of a table its first `rows`, or a scalar's plain value; text as str.

    Raises OSError where rows of a table are not in its index of chunks: HDF5 would give zeros for them. An index that
    is being written looks like that for an instant. Nor may a dataset have its bytes in another file: whoever made this
    one would have a reader show whatever that reader may read.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise OSError("it is a group")
    if dataset.external or dataset.is_virtual:
        raise OSError("its bytes lie in another file")
    source = dataset.asstr() if h5py.check_string_dtype(dataset.dtype) else dataset
    if dataset.shape == ():
        return source[()]
    found = source[:rows]
    if dataset.chunks is None:
        return found
    chunks = math.prod(-(-length // chunk) for length, chunk in zip(found.shape, dataset.chunks))
    if dataset.id.get_num_chunks() < chunks:
        raise OSError("rows are missing in the index of its chunks")
    return found


def trouble(path: Path, place: str, error: Exception) -> str:
    """What to tell of a file that was opened, and cannot be read at `place`, or at all."""
    if "truncated" in str(error):
        return (
            f"{path} is truncated, its end is missing; if it is a copy, copy it again, "
            f"else see what is left of it: hpcfl repair {path}"
        )
    if place:
        return f"cannot read {place} of {path}: {reason(error)}"
    return f"{path} is damaged, or has only just been created: {reason(error)}"


def plain(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
