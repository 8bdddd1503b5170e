"""Result files for other programs: a table as CSV, Parquet or JSON, or a whole run as JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from hpcfl.analysis.columns import TABLES, Columns, differing, labels, table, words
from hpcfl.analysis.extras import need
from hpcfl.analysis.frames import load
from hpcfl.errors import ResultError
from hpcfl.results import open_results

__all__ = ["FORMATS", "export"]

ROWS = 65_536
"""Rows that are turned into text at a time."""


def export(paths: Sequence[Path], name: str | None, form: str, out: Path | None, stdout: TextIO) -> None:
    """Write a table of the runs, or what `form` takes for none, to the file `out` or to `stdout`.

    Of several runs, `run` and the keys in which their jobs differ are columns, as `hpcfl.load` has them. A file that is
    there is replaced, once the new one is whole. Raises ResultError for a run that cannot be read, a table that no run
    has, or a file that cannot be written.
    """
    write = FORMATS[form]
    if out is None:
        if form == "parquet":
            raise ResultError("Parquet is not text: give a file, -o rounds.parquet")
        return write(paths, name, stdout)
    aside = out.with_name(f"{out.name}.new")
    try:
        if form == "parquet":
            write(paths, name, aside)
        else:
            with aside.open("w", encoding="utf-8", newline="") as file:
                write(paths, name, file)
        aside.replace(out)
    except OSError as error:
        raise ResultError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)


def write_csv(paths: Sequence[Path], name: str | None, file: TextIO) -> None:
    """A heading and a line per row. Numbers are written so that reading gives the same bits, NaN as nothing."""
    head: list[str] = []
    out = csv.writer(file, lineterminator="\n")
    for columns in filter(None, _tables(paths, name or "rounds")):
        if not head:
            head = list(columns)
            out.writerow(head)
        if list(columns) != head:
            raise ResultError(
                f"{name or 'rounds'} of {columns['run'][0]} has other columns than of the run before; "
                "export them one by one"
            )
        for rows in _slices(columns):
            out.writerows(zip(*(_plain(values[rows], "") for values in columns.values())))


def write_json(paths: Sequence[Path], name: str | None, file: TextIO) -> None:
    """A list with an object per run: `run`, `job`, `environment`, `status` and its tables as columns; NaN, and what
    is infinite, is null.

    With `name` only this table. One run is its object, without a list around it.
    """
    file.write("[" if len(paths) > 1 else "")
    for number, (path, label) in enumerate(zip(paths, labels(paths))):
        file.write(",\n" if number else "")
        with open_results(path) as run:
            tables = {each: table(run, each) for each in ((name,) if name else TABLES)}
            facts = {
                "run": label, "status": run.status, "start_time": run.start_time, "end_time": run.end_time,
                "job": _finite(run.job), "environment": _finite(run.environment),
            }  # fmt: skip
        found = {each: {key: _plain(values, None) for key, values in tables[each].items()} for each in tables}
        json.dump(facts | found, file, ensure_ascii=False, allow_nan=False)
    file.write("]\n" if len(paths) > 1 else "\n")


def write_parquet(paths: Sequence[Path], name: str | None, path: Path) -> None:
    """As `hpcfl.load` has it: types and words are kept."""
    need("pyarrow", "Parquet files")
    frame = load(paths, name or "rounds")
    if len(paths) == 1:
        frame = frame.drop(columns="run")
    frame.to_parquet(path, engine="pyarrow", index=False)


FORMATS: dict[str, Callable[..., None]] = {"csv": write_csv, "json": write_json, "parquet": write_parquet}
"""The ending of a file's name -> what writes it."""


def _tables(paths: Sequence[Path], name: str) -> Iterator[Columns]:
    """The table of each run in turn, after the columns that tell the runs apart if they are several."""
    jobs = []
    for path in paths:
        with open_results(path) as run:
            jobs.append(run.job)
    keys = {"run": labels(paths), **differing(jobs)} if len(paths) > 1 else {}
    for number, path in enumerate(paths):
        with open_results(path) as run:
            columns = table(run, name)
        count = len(next(iter(columns.values()), ()))
        told = {key: np.full(count, values[number], object) for key, values in keys.items()}
        yield {**told, **columns} if columns else {}


def _slices(columns: Columns) -> Iterator[slice]:
    count = len(next(iter(columns.values()), ()))
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))


def _finite(value: Any) -> Any:
    """Tables and lists with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(values: np.ndarray, unknown: Any) -> list[Any]:
    """Python's own numbers and words; `unknown` for what is not known, and for what JSON has no number for."""
    found = words(values).tolist()
    if values.dtype.kind not in "fO":
        return found
    is_known = math.isfinite if unknown is None else lambda value: not math.isnan(value)
    return [
        unknown if value is None or (isinstance(value, float) and not is_known(value)) else value for value in found
    ]
