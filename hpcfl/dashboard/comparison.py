"""The tables of a comparison: what a target accuracy took, how well the runs end, and in what their jobs differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hpcfl.checkpoint.identity import ABSENT
from hpcfl.dashboard.catalogue import stamp
from hpcfl.dashboard.words import writable
from hpcfl.errors import ResultError
from hpcfl.progress import clock
from hpcfl.report.compare import CLOCKS, labels, notes, require_comparable
from hpcfl.report.measures import AXES, CURVES, Goal, area, best, cost, final, goal, spread
from hpcfl.report.runs import Run, differing, read, said
from hpcfl.report.show import as_bytes

__all__ = ["Cell", "Compared", "compared"]


REMEMBERED = 256
"""Runs that are kept until their files change."""


class Cell(NamedTuple):
    """A number as it is written."""

    text: str
    leads: bool = False
    """Whether it is the best of its column."""


class Compared(NamedTuple):
    """What is said of the runs; without rows where they cannot be compared, and `notes` say why."""

    titles: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]
    target: float
    """The accuracy to reach, NaN where there is none."""
    of: str
    """Whose accuracy it is."""
    differing: dict[str, list[tuple[str, list[str]]]]
    """Key of the job -> its values, each with the runs that have it."""
    notes: list[str]


def compared(paths: Sequence[Path], target: float | None) -> Compared:
    """Compare the runs; without a target the best accuracy that all reach."""
    runs = [_read(path, stamp(path)) for path in paths]
    names = [writable(name) for name in labels(paths)]
    told = _by_value(runs, names)
    try:
        require_comparable(runs)
        aim = goal(runs, target)
    except ResultError as failure:
        words = str(failure)
        for path, name in zip(paths, names):
            words = words.replace(str(path), name)
        return Compared((), [], math.nan, "", told, [words])
    columns = _columns(runs, aim)
    cells = [_cells([take(run) for run in runs], form, high) for take, form, high in columns.values()]
    rows = list(zip(names, map(list, zip(*cells))))
    return Compared(tuple(columns), rows, aim.target, CURVES[aim.of][1], told, notes(runs, names))


Column = tuple[Callable[[Run], float], Callable[[float], str], bool]
"""What is measured, how it is written, whether more is better."""


def _columns(runs: Sequence[Run], aim: Goal) -> dict[str, Column]:
    """Costs of the target, then how well the runs end; the clients' own models where any has them."""
    clocks = {run.settings.get("clock") for run in runs}
    time = f"{CLOCKS.get(clocks.pop(), 'clock') if len(clocks) == 1 else 'clock'} time"
    forms = {"rounds": "{:,.0f}".format, "time": clock, "wall": clock, "bytes": as_bytes}
    titles = {"rounds": "rounds to it", "time": time, "wall": "wall time", "bytes": "clients' traffic"}
    found: dict[str, Column] = {
        titles[axis]: (lambda run, axis=axis: cost(run, aim, axis), forms[axis], False) for axis in AXES
    }
    found |= {
        "final": (lambda run: final(run, aim.of), _percent, True),
        "best": (lambda run: best(run, aim.of)[0], _percent, True),
        "mean on the way": (lambda run: area(run, aim), _percent, True),
    }
    if any(not math.isnan(spread(run)["mean"]) for run in runs):
        found |= {
            "clients' own": (lambda run: spread(run)["mean"], _percent, True),
            "lowest decile": (lambda run: spread(run)["low"], _percent, True),
        }
    return found


def _cells(values: Sequence[float], form: Callable[[float], str], high: bool) -> list[Cell]:
    """A column as it is written."""
    known = {value for value in values if not math.isnan(value)}
    top = (max(known) if high else min(known)) if len(known) > 1 else math.nan
    return [Cell("–") if math.isnan(value) else Cell(form(value), value == top) for value in values]


def _by_value(runs: Sequence[Run], names: Sequence[str]) -> dict[str, list[tuple[str, list[str]]]]:
    """Of more than two runs those without a key are not named."""
    found = {}
    for key, values in differing(runs).items():
        holders: dict[str, list[str]] = {}
        for value, name in zip(values, names):
            if value != ABSENT or len(runs) == 2:
                holders.setdefault(said(value), []).append(name)
        found[key] = list(holders.items())
    return found


@lru_cache(REMEMBERED)
def _read(path: Path, _: str) -> Run:
    """The run as its file is at this stamp."""
    return read(path)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
