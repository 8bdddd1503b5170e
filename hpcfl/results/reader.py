"""The reader of the result file: tables as NumPy arrays, read when asked for, also while the run is writing."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from hpcfl.errors import ResultError
from hpcfl.results.continued import RESTARTS
from hpcfl.results.format import FORMAT, OWN, TABLES, VERSION

__all__ = ["Columns", "Reader", "open_results"]


def open_results(path: Path) -> "Reader":
    """Open a result file for reading.

    Raises ResultError if there is none, if it is not a result file or one of a newer major version, if it is
    truncated, or if its run has not recorded a step.
    """
    return Reader(path)


class Columns(Mapping):
    """The columns of a table by name; each is read from the file when it is asked for."""

    def __init__(self, path: Path, group: Mapping[str, h5py.Dataset], rows: int | None = None):
        self._path, self._group, self._rows = path, group, rows

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._group:
            raise KeyError(name)
        return _read(self._path, self._group[name], self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)


class Reader:
    """A result file, as it was when it was opened: what a running job adds later is not seen.

    rounds, events, failures, clients, own and sharing are mappings of column names to arrays, with only whole steps in
    them.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            _check_format(self.path, self._file)
            rows = self._committed()
            self.rounds, self.events, self.failures = (
                Columns(self.path, self._file[name], rows[name]) for name in ("rounds", "events", "failures")
            )
            self.clients = Columns(self.path, self._file["clients"])
            self.own = self._evaluations()
            self.sharing = Columns(self.path, self._file.get("sharing", {}))
        except ResultError:
            self._file.close()
            raise
        except (OSError, RuntimeError, KeyError) as error:
            self._file.close()
            raise ResultError(f"{self.path} is damaged, or has only just been created: {_why(error)}") from error

    def _evaluations(self) -> "Columns":
        """Of the clients' own models: step (E,), loss and accuracy (E, N); empty where none were evaluated."""
        if "own" not in self._file["clients"]:
            return Columns(self.path, {})
        group = self._file["clients/own"]
        names = [name for name in ("step", *OWN) if name in group]
        rows = min(len(group[name]) for name in names)
        return Columns(
            self.path,
            {name: group[name] for name in names},
            int((group["step"][:rows] <= self.rounds["step"][-1]).sum()),
        )

    def _committed(self) -> dict[str, int]:
        """The rows of each table that are wholly there, whatever a killed writer left behind them."""
        empty = f"{self.path} has no rounds: the run has not finished its first one, or was stopped before it did"
        if "committed" not in self._file.attrs or any(name not in self._file for name in TABLES):
            raise ResultError(empty)
        rows = dict(zip(TABLES, self._file.attrs["committed"].tolist()))
        for name in TABLES:
            rows[name] = min([rows[name], *(len(column) for column in self._file[name].values())])
        if not rows["rounds"]:
            raise ResultError(empty)
        return rows

    @cached_property
    def job(self) -> dict:
        """The resolved job: every setting, with its default where the job file said nothing."""
        return json.loads(self._text("job/resolved"))

    @cached_property
    def job_text(self) -> str:
        """The job file, verbatim."""
        return self._text("job/text")

    @cached_property
    def environment(self) -> dict[str, object]:
        """Versions, launcher, hosts, devices: str, bool, int, float or a list of str per name."""
        return self._facts("environment")

    @cached_property
    def restarts(self) -> list[dict[str, object]]:
        """The environments in which the run was resumed, in order, each with `step`, `time` and whether it is `exact`:
        to the same bits as if it had never been interrupted."""
        count = len(self._file["environment"].get(RESTARTS, ()))
        return [self._facts(f"environment/{RESTARTS}/{number}") for number in range(count)]

    def _facts(self, name: str) -> dict[str, object]:
        found = {key: item for key, item in self._file[name].items() if isinstance(item, h5py.Dataset)}
        return {
            key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for key, value in Columns(self.path, found).items()
        }

    @cached_property
    def partition(self) -> np.ndarray | None:
        """(N,) int32: the client that holds each training sample, or -1; None where the file does not say."""
        return _read(self.path, self._file["partition/client"]) if "partition/client" in self._file else None

    @property
    def start_time(self) -> str:
        return self._text("start_time")

    @property
    def end_time(self) -> str | None:
        """When the run finished (ISO 8601); None if it has not."""
        return self._text("end_time") if self.finished else None

    @property
    def finished(self) -> bool:
        return "end_time" in self._file

    @property
    def status(self) -> str:
        """finished, interrupted or failed; running if the run goes on or was killed before it could say."""
        return _plain(self._file.attrs["status"])

    @property
    def models(self) -> dict[int, list[str]]:
        """The names of the models that were kept, by step."""
        return {
            int(step): [name for name in group if isinstance(group[name], h5py.Group)]
            for step, group in self._file["model"].items()
        }

    def state(self, name: str, step: int | None = None) -> np.ndarray:
        """What the algorithm recorded under this name beside the model of `step`, by default of the latest one."""
        step = int(self._file["model"].attrs["latest"]) if step is None else step
        if f"model/{step}/{name}" not in self._file:
            raise ResultError(f"{self.path} holds no {name!r} of step {step}; the algorithm says what is recorded")
        return _read(self.path, self._file[f"model/{step}/{name}"])

    def model(self, step: int | None = None, name: str = "global") -> dict[str, np.ndarray]:
        """The tensors of the model after `step`, by default of the latest one that was kept."""
        if step is None:
            step = int(self._file["model"].attrs["latest"])
        if step < 0:
            raise ResultError(f"{self.path} holds no model: the run has not kept one yet, or was stopped before it did")
        group = f"model/{step}/{name}"
        if group not in self._file:
            kept = ", ".join(f"{name} of step {step}" for step, names in sorted(self.models.items()) for name in names)
            raise ResultError(f"{self.path} holds no model {name!r} of step {step}; it holds {kept}")
        vector, tensors = _read(self.path, self._file[f"{group}/vector"]), {}
        for tensor in json.loads(self._text(f"{group}/layout")):
            if tensor["kind"] == "constant":
                values = np.array(tensor["value"], tensor["dtype"])
            else:
                values = vector[tensor["start"] : tensor["stop"]]
            tensors[tensor["name"]] = values.reshape(tensor["shape"])
        return tensors

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, name: str) -> str:
        return _read(self.path, self._file[name])


def _open(path: Path) -> h5py.File:
    """The file, without a lock: a reader must not keep a run from writing, nor fail where locks do not work."""
    if not path.exists():
        raise ResultError(f"there is no file {path}")
    if path.is_dir():
        raise ResultError(f"{path} is a directory; give the result file in it")
    try:
        if not h5py.is_hdf5(path):
            what = "is not an HDF5 file" if path.stat().st_size else "is empty"
            raise ResultError(f"{path} {what}; result files are written by 'hpcfl run'")
        return _unlocked(path)
    except (OSError, RuntimeError) as error:
        if "truncated" in str(error):
            raise ResultError(f"{path} is truncated, its end is missing; if it is a copy, copy it again") from error
        raise ResultError(f"cannot read {path}: {_why(error)}") from error


def _unlocked(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # HDF5 opens a file twice in one process only with the same choice; this one is its own and the writer's.
        if "file locking flag" not in str(error):
            raise
        return h5py.File(path, "r", locking="best-effort")


def _check_format(path: Path, file: h5py.File) -> None:
    if _plain(file.attrs.get("format", "")) != FORMAT:
        raise ResultError(f"{path} is an HDF5 file, but not a result file of hpcfl (no attribute format={FORMAT!r})")
    version = _plain(file.attrs.get("format_version", "0"))
    if int(version.partition(".")[0]) > int(VERSION.partition(".")[0]):
        raise ResultError(
            f"{path} has format version {version}, and this hpcfl reads {VERSION}; read it with the hpcfl that "
            "wrote it, or a newer one: pip install --upgrade hpcfl"
        )


def _read(path: Path, dataset: h5py.Dataset, rows: int | None = None) -> object:
    """An array, or a scalar's plain value; text as str."""
    try:
        source = dataset.asstr() if h5py.check_string_dtype(dataset.dtype) else dataset
        return source[()] if dataset.shape == () else source[:rows]
    except (OSError, RuntimeError) as error:
        raise ResultError(f"cannot read {dataset.name} of {path}: {_why(error)}") from error


def _plain(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _why(error: Exception) -> str:
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
