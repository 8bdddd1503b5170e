"""A sweep's file: which job, what is changed in it from cell to cell, and where the cells run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile, draft, read
from hpcfl.schema import Positive, Section, plain_name
from hpcfl.sweep.cells import Place, expand, names, overrides

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Cell", "Sweep", "read_sweep"]


class Run(Section):
    """Where the cells run, and where their results go."""

    results: Annotated[str, Field(min_length=1)] | None = None
    """Folder of the result files; without it results/NAME, by the name of the sweep's file."""
    name: Annotated[str, Field(min_length=1)] | None = None
    """Pattern of the cells' names, say "{strategy.name}-mu{strategy.mu}-{seed}"; without it what differs."""
    ranks: Positive = 1
    """Ranks of each cell; more than one are started with mpirun, or with srun inside a Slurm job."""
    parallel: Positive = 1
    """Cells that run at a time."""
    pack: Positive = 1
    """Cells of one Slurm task, `parallel` at a time."""
    launcher: Literal["auto", "mpirun", "srun"] = "auto"
    """What starts the ranks: auto takes srun inside a Slurm job, else mpirun."""


class Sheet(Section):
    """All that the file says."""

    job: Any
    """The job: a file, looked for beside this one, or a table [job]."""
    grid: dict[str, Any] = {}
    """Dotted keys of the job -> the values to try; every combination is a cell."""
    cells: list[dict[str, Any]] = []
    """Rows of changes; with a grid every row is tried at each of its points."""
    run: Run = Run()
    """Where the cells run."""

    @field_validator("job")
    @classmethod
    def _given(cls, job: Any) -> Any:
        if not isinstance(job, str | dict):
            raise ValueError('should be a job file, say job = "base.toml", or a table [job]')
        return job


@dataclass(frozen=True)
class Cell:
    """One job of the sweep."""

    name: str
    source: str
    """What `hpcfl run` takes as the job."""
    overrides: tuple[str, ...]
    """And as --set."""
    job: JobFile
    path: Path
    """The result file."""

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.path.with_suffix(".log")

    @property
    def arguments(self) -> list[str]:
        """The command line of `hpcfl` that runs it."""
        changes = [word for override in self.overrides for word in ("--set", override)]
        return ["run", self.source, *changes, "--out", str(self.path)]


@dataclass(frozen=True)
class Sweep:
    """The cells, in the order of the file."""

    path: Path
    run: Run
    folder: Path
    """Of the results."""
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """For the queue and for messages."""
        return plain_name(self.path.name.removesuffix(".toml").removesuffix(".sweep")) or "sweep"


def read_sweep(file: str, changes: Sequence[str] = (), **settings: Any) -> Sweep:
    """The sweep in `file`, with `--set` on every cell and some of `Run`'s keys replaced where they are not None.

    JobError says what is wrong in the file, and with which cells' jobs: every mistake, once.
    """
    path = Path(file)
    sheet = Sheet.parse(_table(path), file)
    run = sheet.run.model_copy(update={key: value for key, value in settings.items() if value is not None})
    source = f"{file}#job" if isinstance(sheet.job, dict) else os.path.normpath(path.parent / sheet.job)
    places = _located(file, expand, sheet.grid, sheet.cells)
    _check_overrides(changes, places)
    base = draft(source, changes).table
    named = _located(file, names, places, str(base["name"]))
    name = Sweep(path, run, path, ()).name
    folder = Path(run.results or Path("results") / name)
    cells, wrong = [], []
    for automatic, place in zip(named, places):
        given = [*changes, *overrides({key: value for key, value in place.changes.items() if key != "name"})]
        try:
            cells.append(_cell(source, given, automatic, run.name, folder))
        except JobError as failure:
            wrong.append((automatic, str(failure)))
    if wrong:
        raise JobError(told(file, wrong, len(places)))
    return Sweep(path, run, folder, tuple(_unique(file, cells)))


def told(file: str, wrong: Sequence[tuple[str, str]], cells: int) -> str:
    """One message for all (cell, message): each message once, with the first cells that it is said of."""
    of: dict[str, list[str]] = {}
    for name, message in wrong:
        of.setdefault(message, []).append(name)
    lines = []
    for message, cells_of in of.items():
        more = f" and {len(cells_of) - 3} more" if len(cells_of) > 3 else ""
        said = message.replace("\n", "\n  ")
        lines.append(f"cell {', '.join(cells_of[:3])}{more}: {said}")
    return f"{file}: {len(wrong)} of {cells} cells cannot run:\n  " + "\n  ".join(lines)


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise JobError(f"sweep file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise JobError(f"sweep file {path} cannot be read: {failure}") from None
    except tomllib.TOMLDecodeError as failure:
        raise JobError(f"{path}: not valid TOML: {failure}") from None


def _located(file: str, action: Any, *given: Any) -> Any:
    """What the action gives; its messages begin with the file."""
    try:
        return action(*given)
    except JobError as failure:
        raise JobError(f"{file}: {failure}") from None


def _check_overrides(changes: Sequence[str], places: Sequence[Place]) -> None:
    """JobError for a `--set` of what the sweep itself changes: the cells would not be what they are called."""
    swept = {key for place in places for key in place.changes}
    for change in changes:
        key = change.partition("=")[0].strip()
        for other in sorted(swept):
            if key == other or f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise JobError(f"--set {change}: the sweep changes {other} from cell to cell; change it in the file")


def _cell(source: str, given: list[str], name: str, pattern: str | None, folder: Path) -> Cell:
    if pattern is not None:
        name = plain_name(_filled(pattern, read(source, given).spec.resolved()))
    given = [*given, f'name="{name}"']
    path = folder / f"{name}.h5"
    return Cell(name, source, tuple(given), read(source, given, str(path)), path)


def _filled(pattern: str, job: dict[str, Any]) -> str:
    """The pattern with the job's values in place of {dotted.key}."""

    def value(match: re.Match[str]) -> str:
        found: Any = job
        for word in match[1].split("."):
            inside = found if isinstance(found, dict) else {}
            params = inside.get("params")
            if word not in inside and isinstance(params, dict):
                inside = params
            if word not in inside:
                raise JobError(f"run.name = {pattern!r}: the job does not say {match[1]}")
            found = inside[word]
        if isinstance(found, dict | list):
            raise JobError(f"run.name = {pattern!r}: {match[1]} is not one value, but {found!r}")
        return str(found)

    return re.sub(r"\{([^{}]*)\}", value, pattern)


def _unique(file: str, cells: list[Cell]) -> list[Cell]:
    """The cells, if no two have one name."""
    known: dict[str, Cell] = {}
    for cell in cells:
        if known.setdefault(cell.name, cell) is not cell:
            raise JobError(f"{file}: run.name gives two cells the name {cell.name!r}; put what differs into it")
    return cells
