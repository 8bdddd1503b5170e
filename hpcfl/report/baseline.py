"""Which cell of a table the others are tested against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpcfl.errors import ResultError
from hpcfl.report.runs import same

__all__ = ["Place", "opponents", "require_baseline", "stands_for"]

Key = tuple[str, ...]
Place = tuple[Key, Key]
"""The words of a cell's row and of its column."""


def stands_for(key: str, components: Iterable[str]) -> bool:
    """Whether a key is one of these, or a parameter of a component that is."""
    return any(f"{key}.".startswith(f"{name}.") for name in components)


def require_baseline(baseline: Mapping[str, str], keys: Key, cells: Iterable[Place]) -> None:
    """ResultError unless some cell is the baseline's."""
    for key, value in baseline.items():
        if key not in keys:
            raise ResultError(f"--baseline {key}={value}: {key} is neither in the rows nor the columns")
    every = [_settings(keys, place) for place in cells]
    if not any(_is_of(cell, baseline) for cell in every):
        there = {key: ", ".join(dict.fromkeys(cell[key] for cell in every)) for key in baseline}
        what = "; ".join(f"{key} is {values}" for key, values in there.items())
        raise ResultError(f"--baseline {_said(baseline)}: no run is of it; {what}")


def opponents(baseline: Mapping[str, str], keys: Key, cells: Iterable[Place]) -> dict[Place, Place | None]:
    """The baseline's cell for each other one: it has the baseline's values, and for the rest the same ones, but for the
    own parameters of the components that are compared; None where there is none.

    ResultError where there are several.
    """
    every = {place: _settings(keys, place) for place in cells}
    fixed = [key for key in keys if not stands_for(key, baseline)]
    theirs = {place: cell for place, cell in every.items() if _is_of(cell, baseline)}
    found: dict[Place, Place | None] = {}
    for place, mine in every.items():
        fitting = [other for other, cell in theirs.items() if all(cell[key] == mine[key] for key in fixed)]
        if len(fitting) > 1:
            open_keys = [key for key in keys if key not in (*fixed, *baseline)]
            raise ResultError(
                f"--baseline {_said(baseline)}: {len(fitting)} cells are of it; "
                f"say also {' or '.join(f'{key}=...' for key in open_keys)}"
            )
        if place not in fitting:
            found[place] = fitting[0] if fitting else None
    return found


def _settings(keys: Key, place: Place) -> dict[str, str]:
    return dict(zip(keys, (*place[0], *place[1])))


def _is_of(cell: Mapping[str, str], baseline: Mapping[str, str]) -> bool:
    return all(same(cell[key], value) for key, value in baseline.items())


def _said(baseline: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in baseline.items())
