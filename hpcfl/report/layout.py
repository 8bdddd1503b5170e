"""A table of any keys of the jobs against any others: the runs that agree in both share a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hpcfl.checkpoint.identity import ABSENT
from hpcfl.errors import ResultError
from hpcfl.report.baseline import Place, opponents, require_baseline, stands_for
from hpcfl.report.grid import Grid, Style
from hpcfl.report.measures import AXES, CURVES, MEASURES, Goal, Measure, goal
from hpcfl.report.runs import Run, collect, differing, finished, require_keys, said
from hpcfl.report.statistics import compare_pairs

__all__ = ["Wish", "arrange"]

Key = tuple[str, ...]
COMPARED = ("strategy",)
"""What is compared where there is no baseline."""
PLAIN = ("none", "true", "false")
"""Values that do not say what they are of."""
SHOWN, LONGEST = 4, 30
"""Keys, and characters of a setting, that a message names."""


@dataclass(frozen=True)
class Wish:
    """What the table is to show."""

    rows: Key = ()
    """Keys of the job; without any those in which the runs differ and that stand nowhere else."""
    columns: Key = ()
    """Keys whose values are columns; without any there is a column for each measure."""
    measures: Key = ("accuracy",)
    """Of measures.MEASURES."""
    over: Key = ("seed",)
    """Keys over which means are taken, and by which runs are paired."""
    spread: str = "std"
    baseline: Mapping[str, str] = field(default_factory=dict)
    """Values of rows' and columns' keys that say which cells the others are tested against."""
    test: str = "t"
    target: float | None = None
    of: str | None = None


def arrange(paths: Sequence[Path], wish: Wish) -> tuple[Grid, list[str]]:
    """The table of the finished runs in the result files, and in folders; and lines on what to bear in mind.

    ResultError for keys and measures that there are none of, for runs that share a cell and differ in more than what
    the mean is taken over, and for a baseline that no run is of or has no seed in common with the others.
    """
    runs, notes = collect(paths, finished)
    require_measures(wish.measures)
    require_keys([*wish.rows, *wish.columns, *wish.over, *wish.baseline], runs)
    rows = wish.rows or left_over(runs, wish)
    aim = goal(runs, wish.target, wish.of)
    cells = grouped(runs, rows, wish)
    require_baseline(wish.baseline, (*rows, *wish.columns), cells)
    grid = Grid(
        rows,
        what=what(wish, aim),
        spread=wish.spread,
        baseline=_said(wish.baseline, wish.baseline.values()),
        test=wish.test,
    )
    fill(grid, cells, wish, aim)
    alone = test(grid, cells, rows, wish, aim) if wish.baseline else []
    crown(grid, cells, rows, wish)
    return grid, [*notes, *alone, *confounded(runs, rows, wish)]


def what(wish: Wish, aim: Goal) -> str:
    """What the figures are: as far as the columns do not say it, and which target it is."""
    single = MEASURES[wish.measures[0]].heading if len(wish.measures) == 1 and wish.columns else ""
    toward = any(name in AXES for name in wish.measures)
    parts = [single, f"to accuracy {aim.target:.4g}" if toward else ""]
    of = f"accuracy is that of {CURVES[aim.of][1]}" if aim.of != "global" else ""
    return ", ".join(filter(None, [" ".join(filter(None, parts)), of]))


def require_measures(names: Iterable[str]) -> None:
    for name in names:
        if name not in MEASURES:
            near = get_close_matches(name, MEASURES, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(MEASURES)}"
            raise ResultError(f"{name}: no such measure; {hint}")


def left_over(runs: Sequence[Run], wish: Wish) -> Key:
    """The keys in which the runs differ, those that are compared last; the data where they differ in none."""
    found = {*independent(runs), *wish.baseline} - {*wish.columns, *wish.over}
    return tuple(sorted(found, key=lambda key: (stands_for(key, wish.baseline or COMPARED), key))) or ("data",)


def independent(runs: Sequence[Run]) -> list[str]:
    """The keys in which the runs differ, but for parameters of a component that follow from which one it is."""

    def follows(key: str) -> bool:
        above = key.rpartition(".")[0]
        values: dict[str, set[str]] = {}
        for run in runs:
            values.setdefault(said(run.settings.get(above, ABSENT)), set()).add(said(run.settings.get(key, ABSENT)))
        return above in differ and all(len(each) == 1 for each in values.values())

    differ = differing(runs)
    return [key for key in differ if not follows(key)]


def grouped(runs: Sequence[Run], rows: Key, wish: Wish) -> dict[Place, dict[Key, Run]]:
    """The runs of each cell by what the mean is taken over, cells in the order of the table."""
    cells: dict[Place, list[Run]] = {}
    for run in sorted(runs, key=lambda run: [_order(run.settings.get(key, ABSENT)) for key in (*rows, *wish.columns)]):
        cells.setdefault((_words(run, rows), _words(run, wish.columns)), []).append(run)
    return {place: by_seed(place, alike, wish) for place, alike in cells.items()}


def by_seed(place: Place, runs: Sequence[Run], wish: Wish) -> dict[Key, Run]:
    """The runs of a cell; ResultError unless they differ in the keys of `over`, and in nothing else."""
    where = _where(place)
    if differ := {key: each for key, each in differing(runs).items() if key not in wish.over}:
        told = [f"{key} is {_short(each)}" for key, each in list(differ.items())[:SHOWN]]
        more = [f"and {len(differ) - SHOWN} more keys"] if len(differ) > SHOWN else []
        add = f"say --rows {','.join([*wish.rows, *differ])}, or of --over" if not more else "or give fewer files"
        raise ResultError(
            f"{len(runs)} runs would share the cell {where}, but differ in more than {', '.join(wish.over)}: "
            f"{'; '.join([*told, *more])}; make it a key of the rows or columns, {add}"
        )
    found: dict[Key, Run] = {}
    for run in sorted(runs, key=lambda run: [_order(run.settings.get(key, ABSENT)) for key in wish.over]):
        seed = _words(run, wish.over)
        if seed in found:
            raise ResultError(
                f"{found[seed].path} and {run.path} would share the cell {where}, but have the same "
                f"{_said(wish.over, seed)}; give one of them"
            )
        found[seed] = run
    return found


def fill(grid: Grid, cells: Mapping[Place, Mapping[Key, Run]], wish: Wish, aim: Goal) -> None:
    """Enter the figures, the columns in their order."""
    ordered = sorted(
        {place[1]: next(iter(runs.values())) for place, runs in cells.items()}.items(),
        key=lambda column: [_order(column[1].settings.get(key, ABSENT)) for key in wish.columns],
    )
    for column, _ in ordered:
        for name in wish.measures:
            heading = title(column, MEASURES[name], wish)
            grid.columns.append(heading)
            grid.styles[heading] = Style(MEASURES[name].scale, MEASURES[name].digits, MEASURES[name].high)
    for (row, column), runs in cells.items():
        for run in runs.values():
            grid.enter(
                row, {title(column, MEASURES[name], wish): MEASURES[name].take(run, aim) for name in wish.measures}
            )


def title(column: Key, measure: Measure, wish: Wish) -> str:
    """What a column is called: its values, those that are no names behind their key, and the measure of several."""
    words = []
    for key, word in zip(wish.columns, column):
        words.append(word if word[:1].isalpha() and word not in PLAIN else f"{key.rpartition('.')[2]}={word}")
    if not words or len(wish.measures) > 1:
        words.append(measure.heading)
    return ", ".join(words)


def test(grid: Grid, cells: Mapping[Place, Mapping[Key, Run]], rows: Key, wish: Wish, aim: Goal) -> list[str]:
    """Compare each cell with that of the baseline, run by run; a line for each one that has none."""
    alone = []
    for place, other in opponents(wish.baseline, (*rows, *wish.columns), cells).items():
        if other is None:
            alone.append(f"note: there is no run of {grid.baseline} to compare {_where(place)} with")
            continue
        mine, theirs = cells[place], cells[other]
        if not mine.keys() & theirs.keys():
            seeds = (", ".join(" ".join(seed) for seed in each) for each in (mine, theirs))
            raise ResultError(
                f"{_where(place)} and the baseline {grid.baseline} have no {', '.join(wish.over)} in common: "
                f"{' and '.join(seeds)}; run both on the same ones"
            )
        for name in wish.measures:
            take = MEASURES[name].take
            figures, base = ({seed: take(run, aim) for seed, run in each.items()} for each in (mine, theirs))
            found = compare_pairs(figures, base)
            if found.pairs:
                grid.pairs[place[0], title(place[1], MEASURES[name], wish)] = found
    return alone


def crown(grid: Grid, cells: Iterable[Place], rows: Key, wish: Wish) -> None:
    """Find the best of the cells that differ in what is compared: the baseline's keys, or the strategy, or else the
    rows' last key; of each measure by itself."""
    keys = (*rows, *wish.columns)
    compared = [key for key in keys if stands_for(key, wish.baseline or COMPARED)] or [rows[-1]]
    contests: dict[Key, list[tuple[Key, str]]] = {}
    for row, column in cells:
        others = tuple(word for key, word in zip(keys, (*row, *column)) if key not in compared)
        for name in wish.measures:
            contests.setdefault((*others, name), []).append((row, title(column, MEASURES[name], wish)))
    for contest in contests.values():
        grid.crown(contest)


def confounded(runs: Sequence[Run], rows: Key, wish: Wish) -> list[str]:
    """A line where the cells differ in keys that the table does not show."""
    shown = (*rows, *wish.columns, *wish.over)
    hidden = [key for key in independent(runs) if key not in shown]
    return [f"note: the runs differ also in {', '.join(hidden)}"] if hidden else []


def _words(run: Run, keys: Iterable[str]) -> Key:
    return tuple(said(run.settings.get(key, ABSENT)) for key in keys)


def _short(values: Sequence[Any]) -> str:
    """The values, each once, cut where they are long."""
    words = dict.fromkeys(map(said, values))
    return ", ".join(word if len(word) <= LONGEST else f"{word[: LONGEST - 3]}..." for word in words)


def _where(place: Place) -> str:
    return ", ".join((*place[0], *place[1]))


def _said(keys: Iterable[str], words: Iterable[str]) -> str:
    return ", ".join(f"{key}={word}" for key, word in zip(keys, words))


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size before words, what is not said first."""
    if isinstance(value, bool | int | float):
        return 1, float(value), ""
    return (0, 0.0, "") if value == ABSENT else (2, 0.0, said(value))
