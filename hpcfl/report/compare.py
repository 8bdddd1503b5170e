"""Runs side by side: what a target accuracy took, how well they end, how even the clients are, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpcfl.checkpoint.identity import ABSENT
from hpcfl.errors import ResultError
from hpcfl.report.measures import AXES, CURVES, Goal, area, best, cost, final, goal, reached, spread
from hpcfl.report.runs import Run, collect, differing, read, said
from hpcfl.report.show import ENDINGS, as_bytes, fact, fact_table

__all__ = ["compare"]

UNTESTED = ("data.root", "data.download", "data.cache", "data.stage", "data.transform")
"""What of `data` does not change the test set."""
LONGEST = 40
"""Characters of a setting."""
CLOCKS = {"virtual": "virtual", "wall": "real"}


def compare(
    paths: Sequence[Path], console: Console, target: float | None = None, of: str | None = None, over: str = "rounds"
) -> None:
    """Print the comparison of the result files, and of those in folders.

    ResultError for a file that is given and holds no round, for fewer than two runs, and for runs that cannot be
    compared.
    """
    runs, left_out = collect(paths, read)
    if len(runs) < 2:
        raise ResultError("\n".join([f"there is only {runs[0].path}: give at least two runs", *left_out]))
    require_comparable(runs)
    aim = goal(runs, target, of, over)
    names = labels([run.path for run in runs])
    given = "" if target is not None else ", the best that all reach" if len(runs) > 2 else ", the best that both reach"
    sections = {
        f"to accuracy {aim.target:.4f} of {CURVES[aim.of][1]}{given}": to_target(runs, names, aim),
        "how well": quality(runs, names, aim),
        "the clients' own models": evenness(runs, names),
        "what differs in the jobs": by_value(differing(runs), names),
        "where they ran": by_value(places(runs), names),
    }
    for title, section in sections.items():
        if section.row_count:
            console.print(Text(title, style="bold"))
            console.print(section)
            console.print()
    for note in [*notes(runs, names), *left_out]:
        console.print(Text(f"note: {note}"), soft_wrap=True)


def require_comparable(runs: Sequence[Run]) -> None:
    """ResultError unless all were tested on the same data."""

    def tested(run: Run) -> dict[str, object]:
        data = {key: value for key, value in run.settings.items() if key == "data" or key.startswith("data.")}
        return {key: value for key, value in data.items() if not key.startswith(UNTESTED)}

    first = runs[0]
    for run in runs[1:]:
        here, there = tested(first), tested(run)
        differ = {key: (here.get(key, ABSENT), there.get(key, ABSENT)) for key in sorted(here.keys() | there.keys())}
        if differ := {key: both for key, both in differ.items() if both[0] != both[1]}:
            what = ", ".join(f"{key} is {said(one)} and {said(other)}" for key, (one, other) in differ.items())
            raise ResultError(
                f"{first.path} and {run.path} cannot be compared: they are tested on different data: {what}"
            )


def to_target(runs: Sequence[Run], names: Sequence[str], aim: Goal) -> Table:
    """What it took to reach the target; the least of each column is bold."""
    clocks = {run.settings.get("clock") for run in runs}
    figures = {axis: [cost(run, aim, axis) for run in runs] for axis in AXES}
    forms = {
        "rounds": ("round", "{:,.0f}".format),
        "time": (f"{CLOCKS.get(clocks.pop(), 'clock') if len(clocks) == 1 else 'clock'} [s]", "{:,.1f}".format),
        "wall": ("wall [s]", "{:,.1f}".format),
        "bytes": ("clients' traffic", as_bytes),
    }
    table = _table([title for title, _ in forms.values()])
    for place, (run, name) in enumerate(zip(runs, names)):
        cells = [
            _cell(each[place], forms[axis][1], _leading(each, place, high=False)) for axis, each in figures.items()
        ]
        if reached(run, aim) is None:
            cells[0] = Text("not reached")
        table.add_row(Text(name), *cells)
    return table


def quality(runs: Sequence[Run], names: Sequence[str], aim: Goal) -> Table:
    """Final and best accuracy, and the mean on the way, where all were evaluated."""
    low, high = aim.span
    first, last = (as_bytes(end) if aim.over == "bytes" else f"{end:,.0f}" for end in (low, high))
    unit = " s" if aim.over in ("time", "wall") else ""
    where = f"mean, {aim.over} {first} to {last}{unit}" if low < high else "mean on the way"
    tops = [best(run, aim.of) for run in runs]
    columns = {
        "final": [final(run, aim.of) for run in runs],
        "best": [top for top, _ in tops],
        "in round": [],
        where: [area(run, aim) for run in runs],
        "rounds": [],
    }
    table = _table(columns)
    for place, (run, name) in enumerate(zip(runs, names)):
        made = run.rounds["step"][-1]
        written = {
            "in round": Text(f"{run.rounds['step'][tops[place][1]]:,}"),
            "rounds": Text(f"{made:,}" if made == run.planned else f"{made:,} of {run.planned:,}"),
        }
        cells = [
            written.get(title) or _cell(each[place], "{:.4f}".format, _leading(each, place, high=True))
            for title, each in columns.items()
        ]
        table.add_row(Text(name), *cells)
    return table


def evenness(runs: Sequence[Run], names: Sequence[str]) -> Table:
    """How different the clients fare, of the runs that know."""
    table = _table(["mean", "std", "lowest decile", "least", "most", "clients"])
    each = [spread(run) for run in runs]
    if all(np.isnan(found["mean"]) for found in each):
        return table
    ways = {"mean": True, "std": False, "low": True, "min": True, "max": True}
    columns = {key: [found[key] for found in each] for key in ways}
    for place, (run, name) in enumerate(zip(runs, names)):
        cells = [
            _cell(columns[key][place], "{:.4f}".format, _leading(columns[key], place, high))
            for key, high in ways.items()
        ]
        known = int((~np.isnan(run.own)).sum())
        table.add_row(Text(name), *cells, Text(f"{known:,}" if known else "-"))
    return table


def by_value(keys: Mapping[str, Sequence[object]], names: Sequence[str]) -> Table:
    """A row per key: each value, and the runs that have it; of more than two runs those that do not have it are not
    named."""
    table = fact_table()
    for key, each in keys.items():
        holders: dict[str, list[str]] = {}
        for value, name in zip(each, names):
            if value != ABSENT or len(names) == 2:
                holders.setdefault(said(value), []).append(name)
        fact(table, key, ",  ".join(f"{_short(value)} ({', '.join(having)})" for value, having in holders.items()))
    return table


def places(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What differs in the environments."""
    keys = sorted({key for run in runs for key in run.place})
    each = {key: [run.place.get(key, "-") for run in runs] for key in keys}
    return {key: values for key, values in each.items() if len(set(values)) > 1}


def notes(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """What to bear in mind."""
    found = [
        f"{name} has {ENDINGS[run.status].replace('NOT FINISHED: ', 'not finished: ')}"
        for run, name in zip(runs, names)
        if run.status in ENDINGS and run.status != "finished"
    ]
    clocks = sorted({said(run.settings.get("clock")) for run in runs})
    if len(clocks) > 1:
        words = " and ".join(CLOCKS.get(clock, clock) for clock in clocks)
        found.append(f"the job's clock is not the same ({words}): compare wall, not clock")
    if places(runs):
        found.append("wall times are of different places or versions")
    return found


def labels(paths: Sequence[Path]) -> list[str]:
    """The files' names without their ending; with as many folders as tell them apart."""
    parts = [path.resolve().with_suffix("").parts for path in paths]
    found = []
    for mine in parts:
        count = 1
        while count < len(mine) and sum(other[-count:] == mine[-count:] for other in parts) > 1:
            count += 1
        found.append("/".join(mine[-count:]) if parts.count(mine) == 1 else mine[-1])
    return found


def _table(titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for title in titles:
        table.add_column(Text(title), justify="right")
    return table


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _cell(value: float, form: object, leads: bool) -> Text:
    return Text("-") if np.isnan(value) else Text(form(value), style="bold" if leads else "")


def _leading(values: Sequence[float], place: int, high: bool) -> bool:
    """Whether a value is the best of its column, and there is a worse one."""
    known = [value for value in values if not np.isnan(value)]
    if len(set(known)) < 2:
        return False
    return values[place] == (max(known) if high else min(known))
