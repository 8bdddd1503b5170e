"""A partition as it was: dealt from the result file of an earlier run, or from an array, sample by sample."""

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.content import Content
from hpcfl.data.params import TEXT
from hpcfl.errors import JobError


def stored(y: np.ndarray, clients: int | None, rng: np.random.Generator, *, path: Annotated[str, TEXT]) -> np.ndarray:
    """What `path` says: /partition/client of a result file, or the array of a .npy, or `client` of a .npz.

    One whole number per training sample in the dataset's order, the client that holds it or -1. A relative path counts
    from the working directory. JobError where the file is none of these, or does not fit the dataset or `clients`.
    """
    key, file = f"partition.path = {path!r}", Path(path).expanduser()
    if not file.is_file():
        raise JobError(f"{key}: there is no file {file.absolute()}; a relative path counts from the working directory")
    try:
        owner = _from_array(file, key, len(y)) if file.suffix in (".npy", ".npz") else _from_results(file, key, len(y))
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise JobError(f"{key}: cannot be read: {' '.join(str(error).split())}") from error
    number = len(np.unique(owner[owner >= 0]))
    if owner.min() < -1 or owner.max() != number - 1 or not number:
        raise JobError(
            f"{key}: its numbers go from {owner.min()} to {owner.max()}, with {number} different ones from 0 on; "
            "number the clients 0, 1, 2, ... without gaps, with -1 where nobody holds a sample"
        )
    if clients not in (None, number):
        raise JobError(f"partition.clients = {clients}: {path} deals to {number} clients; say that, or leave it out")
    return owner.astype(np.int64)


def _from_results(file: Path, key: str, samples: int) -> np.ndarray:
    import h5py  # of all partitions this one alone needs it

    if not h5py.is_hdf5(file):
        raise JobError(f"{key}: is no result file of hpcfl, and no .npy or .npz")
    with Content(file) as content, h5py.File(content, "r") as results:
        if results.attrs.get("format") != "hpcfl":
            raise JobError(f"{key}: is an HDF5 file, but no result file of hpcfl")
        client = results.get("partition/client")
        if not isinstance(client, h5py.Dataset):
            raise JobError(f"{key}: has no /partition: an older hpcfl wrote it; run that job again")
        return _checked(client, key, samples)[:]


def _from_array(file: Path, key: str, samples: int) -> np.ndarray:
    # allow_pickle=False: a file of data must not be able to run code.
    found = np.load(file, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return _checked(found, key, samples)
    with found:
        if "client" not in found:
            raise JobError(f"{key}: has no array `client`, only {', '.join(found) or 'none'}")
        return _checked(found["client"], key, samples)


def _checked(array: Any, key: str, samples: int) -> Any:
    """The array, of whatever library, if it has a whole number for each sample."""
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise JobError(f"{key}: is {array.dtype} {array.shape}; valid is one whole number per training sample")
    if len(array) != samples:
        raise JobError(
            f"{key}: deals {len(array):,} training samples, but this dataset has {samples:,}; give the data of that run"
        )
    return array
