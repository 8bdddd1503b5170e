"""What figures read of a run: columns as arrays, from an open file or from `hpcfl.Results`, which are the same here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hpcfl.analysis.columns import table as columns
from hpcfl.analysis.columns import words
from hpcfl.analysis.frames import Results
from hpcfl.results import Reader
from hpcfl.results.format import TABLES

__all__ = ["Run", "many", "table", "within"]

Run = Reader | Results


def many(runs: Run | Iterable[Run]) -> list[Run]:
    """One run or several, as a list."""
    return [runs] if isinstance(runs, Run) else list(runs)


def table(run: Run, name: str, *only: str) -> Mapping[str, np.ndarray]:
    """A table's columns by name, all or `only` some; codes are words. Without columns or rows where the file has none.

    Of a table with a row per step or update, no column is read that is not asked for.
    """
    if only and isinstance(run, Reader) and name in TABLES:
        stored = getattr(run, name)
        found = {key: stored[key] for key in only if key in stored}
    else:
        found = dict(columns(run, name) if isinstance(run, Reader) else getattr(run, name).items())
    return {key: words(np.asarray(values)) for key, values in found.items() if not only or key in only}


def within(step: np.ndarray, rounds: tuple[int, int] | None) -> np.ndarray:
    """Which rows are of the rounds from the first to the last; all of them where no rounds are asked for."""
    return np.ones(len(step), bool) if rounds is None else (step >= rounds[0]) & (step <= rounds[1])
