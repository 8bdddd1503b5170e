"""What a sweep multiplies out to: each cell's changes to the job, and the name that they give it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from hpcfl.asyncfl.document import literal
from hpcfl.errors import JobError
from hpcfl.schema import plain_name

__all__ = ["Changes", "Place", "expand", "names", "overrides"]

Changes = dict[str, Any]
"""Dotted key of the job -> its value in one cell."""


class Place(NamedTuple):
    """Where a cell lies: its row of the list, and its point of the grid."""

    row: Changes
    point: Changes

    @property
    def changes(self) -> Changes:
        """Both."""
        return {**self.row, **self.point}


LONGEST = 120
"""Characters of a name: file systems take 255, and a log and a checkpoint are called after it too."""


def expand(grid: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Every row with every point of the grid, the grid's last key changing fastest. JobError for a key given twice."""
    axes = _collected("grid", _keys(grid, lambda value: isinstance(value, Mapping)))
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise JobError(f"grid.{key} = {values!r}: should be a list of the values to try, say {key} = [0, 1]")
    listed = [_collected(f"cells.{number}", _keys(row, _is_section)) for number, row in enumerate(rows)] or [{}]
    for number, row in enumerate(listed):
        for key in row:
            for other in axes:
                if key == other or key.startswith(f"{other}."):
                    raise JobError(f"cells.{number}.{key}: the grid has {other} too; give it in one of them")
    points = [dict(zip(axes, values)) for values in product(*axes.values())]
    return [Place(row, point) for row in listed for point in points]


def overrides(changes: Changes) -> list[str]:
    """The changes as `--set` takes them; whole tables come before keys in them."""
    ordered = sorted(changes.items(), key=lambda change: change[0].count("."))
    return [f"{key}={literal(value)}" for key, value in ordered]


def names(cells: Sequence[Place], job: str) -> list[str]:
    """A name for each cell from what it changes: "fedprox-mu0.01-seed1".

    Words stand alone, numbers behind their key; without any word the name begins with the job's. A `name` in a row
    stands for the whole row. A cell's name does not depend on the other values of the sweep. JobError for two cells
    that are the same.
    """
    short = _short({key for cell in cells for key in cell.changes})
    found = [_name(cell, short, job) for cell in cells]
    known: dict[str, int] = {}
    for number, cell in enumerate(cells):
        if (first := known.setdefault(_text_of(cell), number)) != number:
            what = ", ".join(overrides(cell.changes)) or "the job as it is"
            raise JobError(f"cells {first} and {number} of the sweep are the same: {what}")
    return [
        f"{name[:LONGEST]}-{_mark(cell)}" if found.count(name) > 1 or len(name) > LONGEST else name
        for name, cell in zip(found, cells)
    ]


def _keys(table: Mapping[str, Any], opens: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a table and of those in it that `opens` says yes to."""
    for word, value in table.items():
        key = f"{at}.{word}" if at else word
        if opens(value) and value:
            yield from _keys(value, opens, key)
        else:
            yield key, value


def _is_section(value: Any) -> bool:
    """Whether a table of a row says keys one by one: one with a name is a component, and replaces the job's."""
    return isinstance(value, Mapping) and not isinstance(value.get("name"), str)


def _collected(place: str, pairs: Iterator[tuple[str, Any]]) -> Changes:
    found: Changes = {}
    for key, value in pairs:
        if key in found:
            raise JobError(f"{place}.{key}: given twice, {found[key]!r} and {value!r}")
        found[key] = value
    return found


def _short(keys: set[str]) -> dict[str, str]:
    """Each key's last words: as many as tell it from the others."""

    def ends(key: str, count: int) -> list[str]:
        return key.split(".")[-count:]

    short = {}
    for key in keys:
        count = 1
        while count < len(key.split(".")) and any(ends(other, count) == ends(key, count) for other in keys - {key}):
            count += 1
        short[key] = ".".join(ends(key, count))
    return short


def _name(cell: Place, short: Mapping[str, str], job: str) -> str:
    named = isinstance(cell.row.get("name"), str)
    counted = {"name": cell.row["name"], **cell.point} if named else cell.changes
    parts = [part for key, value in counted.items() for part in _parts(short[key], value)]
    words = any(isinstance(value, str | Mapping) for value in counted.values())
    return "-".join(filter(None, map(plain_name, parts if words else [job, *parts]))) or "run"


def _parts(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        inside = {**value, **(value["params"] if isinstance(value.get("params"), Mapping) else {})}
        inside.pop("params", None)
        yield str(inside.pop("name", key))
        for name, inner in inside.items():
            yield from _parts(name, inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield key if value else f"no-{key}"
    elif isinstance(value, list):
        yield key + "_".join(map(str, value))
    else:
        yield f"{key}{value}"


def _text_of(cell: Place) -> str:
    return json.dumps(cell.changes, sort_keys=True, default=str)


def _mark(cell: Place) -> str:
    """Six letters that tell cells apart whose names look alike, or are cut."""
    return hashlib.sha256(_text_of(cell).encode()).hexdigest()[:6]
