"""Runs as pandas sees them: one run with its tables, and many runs in one table. PyTorch is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfl.analysis.columns import TABLES, Columns, differing, labels, table
from hpcfl.analysis.extras import need
from hpcfl.errors import ResultError
from hpcfl.results import open_results
from hpcfl.results.finding import find

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

__all__ = ["Results", "load"]


class Results:
    """A run, as far as it had come when this was made; make another one to see how a running job has gone on.

    The file is opened only while it is read. Raises ResultError as `open_results` does, and where a table is asked for
    and pandas is not installed.
    """

    def __init__(self, path: str | PathLike):
        self.path = Path(path)
        with open_results(self.path) as run:
            self.last_step = int(run.rounds["step"][-1])
            self.job: dict[str, Any] = run.job
            """The resolved job: every setting, with its default where the job file said nothing."""
            self.job_text: str = run.job_text
            """The job file, verbatim."""
            self.environment: dict[str, Any] = run.environment
            """Versions, launcher, hosts, devices."""
            self.restarts: list[dict[str, Any]] = run.restarts
            self.status: str = run.status
            """finished, interrupted, failed or running."""
            self.start_time, self.end_time = run.start_time, run.end_time
            self.models: dict[int, list[str]] = run.models
            """The names of the models that were kept, by step."""

    @cached_property
    def rounds(self) -> DataFrame:
        """A row per step of the server."""
        return self._frame("rounds")

    @cached_property
    def events(self) -> DataFrame:
        """A row per update of a client; `status` is a categorical of words."""
        return self._frame("events")

    @cached_property
    def failures(self) -> DataFrame:
        """A row per failed update, with its reason."""
        return self._frame("failures")

    @cached_property
    def clients(self) -> DataFrame:
        """A row per client."""
        return self._frame("clients")

    @cached_property
    def classes(self) -> DataFrame:
        """A row per client, its training examples of each label."""
        return self._frame("classes")

    @cached_property
    def own(self) -> DataFrame:
        """A row per client and evaluation of its own model; without rows where there were none."""
        return self._frame("own")

    @cached_property
    def metrics(self) -> DataFrame:
        """A row per value that a strategy with Flower's methods, or one of its clients, told of a step."""
        return self._frame("metrics")

    @property
    def partition(self) -> np.ndarray | None:
        """(samples,) int32: the client that holds each training sample, or -1; None where the file does not say."""
        with open_results(self.path) as run:
            return run.partition

    def model(self, step: int | None = None, name: str = "global") -> dict[str, np.ndarray]:
        """The tensors of the model after `step`, by default of the latest one that was kept."""
        with open_results(self.path) as run:
            return run.model(step, name)

    def state_dict(self, step: int | None = None, name: str = "global") -> dict[str, Tensor]:
        """The same for PyTorch's `load_state_dict`; tied weights share their memory."""
        import torch

        return {key: torch.from_numpy(values) for key, values in self.model(step, name).items()}

    def __repr__(self) -> str:
        return f"<Results {self.path}: {self.job.get('name', '')}, {self.status}, {self.last_step} steps>"

    def _frame(self, name: str) -> DataFrame:
        need("pandas", "tables")
        with open_results(self.path) as run:
            found = table(run, name)
        if "step" in found:
            rows = found["step"] <= self.last_step
            found = found if rows.all() else {key: values[rows] for key, values in found.items()}
        return _frame(found)


def load(files: str | PathLike | Iterable[str | PathLike], name: str = "rounds") -> DataFrame:
    """A table of many runs, one below the other.

    files: a pattern ("results/*.h5"), a folder, a path, or several of them. name: rounds, events, failures, clients,
    classes, own or metrics. Left of the table's own columns stand `run`, the file's name without .h5, and each key in
    which the jobs differ, as --set takes it (strategy, strategy.mu, seed); it is missing where a job has no such key.
    Raises ResultError naming the file that cannot be read, and where pandas is not installed.
    """
    pandas = need("pandas", "tables")
    if name not in TABLES:
        raise ResultError(f"no table {name!r}; there are {', '.join(TABLES)}")
    paths = find(files)
    jobs, tables = zip(*(_read(path, name) for path in paths))
    frame = pandas.concat([_frame(columns) for columns in tables], ignore_index=True)
    each = np.array([len(next(iter(columns.values()), ())) for columns in tables])
    keys = {"run": labels(paths), **{key: values for key, values in differing(jobs).items() if key not in frame}}
    for at, (key, values) in enumerate(keys.items()):
        frame.insert(at, key, pandas.Series(values).repeat(each).array)
    return frame


def _read(path: Path, name: str) -> tuple[dict[str, Any], Columns]:
    with open_results(path) as run:
        return run.job, table(run, name)


def _frame(columns: Columns) -> DataFrame:
    """Codes become categoricals, which cost a byte a row; everything else stays as it is."""
    import h5py
    import pandas

    def column(values: np.ndarray) -> Any:
        names = h5py.check_enum_dtype(values.dtype)
        if names is None:
            return values
        known = sorted(names, key=names.get)
        return pandas.Categorical.from_codes(np.searchsorted(sorted(names.values()), values), known)

    return pandas.DataFrame({name: column(values) for name, values in columns.items()}, copy=False)
