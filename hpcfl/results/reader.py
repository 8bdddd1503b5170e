"""The reader of the result file: tables as NumPy arrays, read when asked for, also while the run is writing."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

import h5py
import numpy as np

from hpcfl.errors import ResultError
from hpcfl.results.continued import JOINS, LOSSES, RESTARTS
from hpcfl.results.files import DAMAGE
from hpcfl.results.form import (
    check_clients,
    check_facts,
    check_job,
    check_metrics,
    check_own,
    check_sharing,
    check_tables,
    require,
)
from hpcfl.results.format import METRICS, OWN, TABLES
from hpcfl.results.opening import open_content, open_file, plain, trouble, values

__all__ = ["Columns", "Reader", "open_results"]

T = TypeVar("T")

# A change of the file's structure takes a writer a millisecond or two; of a file that is damaged the user hears soon.
TRIES = 20
PAUSE_S = 0.01

# What every restart and every loss of a rank says.
NOTED = {RESTARTS: ("step", "time"), LOSSES: ("step", "reason"), JOINS: ("rank", "step", "host")}

KINDS = {dict: "object", list: "list"}


def open_results(path: Path) -> "Reader":
    """Open a result file for reading.

    Raises ResultError if there is none, if it is not a result file or one of a newer major version, if it is
    truncated, or if its run has not recorded a step.
    """
    return Reader(path)


class Columns(Mapping):
    """The columns of a table by name; each is read from the file when it is asked for."""

    def __init__(self, read: Callable[[str], np.ndarray], names: Sequence[str]):
        self._read, self._names = read, names

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Reader:
    """A result file, as it was when it was opened: what a running job adds later is not seen.

    rounds, events, failures, clients, own, metrics and sharing are mappings of column names to arrays, with only whole
    steps in them.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._content: io.FileIO | None = None
        self._file: h5py.File | None = None
        try:
            rows = self._again(self._committed)
            self.rounds, self.events, self.failures = (self._columns(name, rows[name]) for name in TABLES)
            self._again(lambda file: check_clients(file["clients"]), "/clients")
            self.clients = self._columns("clients")
            self.own = self._by_step("clients/own", OWN, check_own)
            self.metrics = self._by_step("metrics", [column.name for column in METRICS], check_metrics)
            shares = self._again(_shares, "/sharing")
            self.sharing = self._columns("sharing") if shares else Columns(self._read, ())
        except ResultError:
            self.close()
            raise

    def _columns(self, place: str, rows: int | None = None) -> Columns:
        names = self._again(lambda file: list(file[place]) if rows is not None else _datasets(file[place]), place)
        return Columns(lambda name: self._read(f"{place}/{name}", rows), names)

    def _by_step(self, place: str, known: Sequence[str], check: Callable[[h5py.File], None]) -> Columns:
        """A table of which the rows of recorded steps count: /clients/own has step (E,), loss and accuracy (E, N), and
        /metrics a row per value. Empty where the file has none."""
        last = self.rounds["step"][-1]

        def rows(file: h5py.File) -> int | None:
            if place not in file:
                return None
            check(file)
            count = min(len(column) for column in file[place].values() if column.maxshape[0] is None)
            return int((values(file[f"{place}/step"], count) <= last).sum())

        count = self._again(rows, place)
        if count is None:
            return Columns(self._read, ())
        there = self._again(lambda file: _datasets(file[place]), place)
        names = [name for name in dict.fromkeys(("step", *known)) if name in there]
        return Columns(lambda name: self._read(f"{place}/{name}", count), names)

    def _committed(self, file: h5py.File) -> dict[str, int]:
        """The rows of each table that are wholly there, whatever a killed writer left behind them."""
        empty = f"{self.path} has no rounds: the run has not finished its first one, or was stopped before it did"
        if "committed" not in file.attrs or any(name not in file for name in TABLES):
            raise ResultError(empty)
        rows = check_tables(file)
        if not rows["rounds"]:
            raise ResultError(empty)
        return rows

    @cached_property
    def job(self) -> dict:
        """The resolved job: every setting, with its default where the job file said nothing."""
        job = self._json("job/resolved", dict)
        try:
            check_job(job)
        except (ValueError, RecursionError) as error:
            raise ResultError(trouble(self.path, "/job/resolved", error)) from error
        return job

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
        return self._list_of_facts(RESTARTS)

    @cached_property
    def losses(self) -> list[dict[str, object]]:
        """The ranks that the run went on without, in order: `rank`, `step` in hand, `time`, `reason`."""
        return self._list_of_facts(LOSSES)

    @cached_property
    def joins(self) -> list[dict[str, object]]:
        """The ranks that joined the run late, in order: `rank`, `step` in hand, `time`, `host`."""
        return self._list_of_facts(JOINS)

    def _list_of_facts(self, name: str) -> list[dict[str, object]]:
        count = self._again(lambda file: len(file["environment"].get(name, ())), "environment")
        return [self._facts(f"environment/{name}/{number}", NOTED[name]) for number in range(count)]

    def _facts(self, place: str, needed: Collection[str] = ()) -> dict[str, object]:
        self._again(lambda file: check_facts(file[place], needed), f"/{place}")
        return {
            key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for key, value in self._columns(place).items()
        }

    @cached_property
    def partition(self) -> np.ndarray | None:
        """(N,) int32: the client that holds each training sample, or -1; None where the file does not say."""
        if not self._again(lambda file: "partition/client" in file, "partition"):
            return None
        found = self._read("partition/client")
        if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iu":
            raise ResultError(f"cannot read /partition/client of {self.path}: it is no list of clients")
        return found

    @property
    def start_time(self) -> str:
        return self._text("start_time")

    @property
    def end_time(self) -> str | None:
        """When the run finished (ISO 8601); None if it has not."""
        return self._text("end_time") if self.finished else None

    @property
    def finished(self) -> bool:
        return self._again(lambda file: "end_time" in file, "end_time")

    @property
    def status(self) -> str:
        """finished, interrupted or failed; running if the run goes on or was killed before it could say."""
        return self._again(lambda file: plain(file.attrs["status"]), "status")

    @property
    def models(self) -> dict[int, list[str]]:
        """The names of the models that were kept, by step."""

        def kept(file: h5py.File) -> dict[int, list[str]]:
            models, latest = file["model"], int(file["model"].attrs["latest"])
            steps = sorted(step for step in map(int, models) if step <= latest)  # a later one may be half there
            inside = ((step, models[str(step)]) for step in steps)
            return {step: [name for name in group if isinstance(group[name], h5py.Group)] for step, group in inside}

        return self._again(kept, "model")

    def state(self, name: str, step: int | None = None) -> np.ndarray:
        """What the algorithm recorded under this name beside the model of `step`, by default of the latest one."""
        step = max(self.models, default=0) if step is None else step
        place = f"model/{step}/{name}"
        if not self._again(lambda file: place in file, place):
            raise ResultError(f"{self.path} holds no {name!r} of step {step}; the algorithm says what is recorded")
        return self._read(place)

    def model(self, step: int | None = None, name: str = "global") -> dict[str, np.ndarray]:
        """The tensors of the model after `step`, by default of the latest one that was kept."""
        models = self.models
        if not models:
            raise ResultError(f"{self.path} holds no model: the run has not kept one yet, or was stopped before it did")
        if step is None:
            step = max(models)
        if name not in models.get(step, ()):
            kept = ", ".join(f"{name} of step {step}" for step, names in models.items() for name in names)
            raise ResultError(f"{self.path} holds no model {name!r} of step {step}; it holds {kept}")
        place = f"model/{step}/{name}"
        vector, layout = self._read(f"{place}/vector"), self._json(f"{place}/layout", list)
        try:
            require(isinstance(vector, np.ndarray) and vector.ndim == 1 and vector.dtype.kind == "f", "it is no vector")
            return {str(tensor["name"]): _tensor(vector, tensor) for tensor in layout}
        except DAMAGE as error:
            raise ResultError(trouble(self.path, f"/{place}/layout", error)) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._content is not None:
            self._content.close()
        self._file = self._content = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, place: str) -> str:
        return str(self._read(place))

    def _json(self, place: str, kind: type[T]) -> T:
        try:
            found = json.loads(self._text(place))
        except (ValueError, RecursionError) as error:
            raise ResultError(trouble(self.path, f"/{place}", error)) from error
        if not isinstance(found, kind):
            raise ResultError(f"cannot read /{place} of {self.path}: it is no {KINDS[kind]} in JSON")
        return found

    def _read(self, place: str, rows: int | None = None) -> object:
        """An array, of a table its first `rows`, or a scalar's plain value; text as str."""
        return self._again(lambda file: values(file[place], rows), f"/{place}")

    def _again(self, read: Callable[[h5py.File], T], place: str = "") -> T:
        """What `read` finds. A file that is written can be half changed for an instant: then it is opened anew."""
        for left in reversed(range(TRIES)):
            try:
                if self._file is None:
                    self._content = open_content(self.path)
                    self._file = open_file(self._content, self.path)
                return read(self._file)
            except DAMAGE as error:
                self.close()
                if not left:
                    raise ResultError(trouble(self.path, place, error)) from error
                sleep(PAUSE_S)
        raise AssertionError("the last try returns or raises")


def _shares(file: h5py.File) -> bool:
    """Whether there is a /sharing."""
    if "sharing" in file:
        require("architecture" in file["clients"], "/clients lacks architecture")
        check_sharing(file["sharing"])
    return "sharing" in file


def _tensor(vector: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """What the layout of a model says of one tensor."""
    constant = tensor["kind"] == "constant"
    found = np.array(tensor["value"], tensor["dtype"]) if constant else vector[tensor["start"] : tensor["stop"]]
    return found.reshape(tensor["shape"])


def _datasets(group: h5py.Group) -> list[str]:
    """What lies in a group itself, without the groups in it."""
    return [name for name, item in group.items() if isinstance(item, h5py.Dataset)]
