"""`hpcfl plot`: open the files, draw, and write the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from hpcfl import plots
from hpcfl.analysis.predictions import confused
from hpcfl.analysis.series import series
from hpcfl.plots.style import HEIGHT_IN, broken, paint
from hpcfl.results import open_results
from hpcfl.results.finding import find

__all__ = ["draw"]

ROW_IN = 0.28
"""Height of a row, where a figure has a row per series."""
LINE_IN = 0.12
"""Height of a line of its name, of which a row has one more for the gap."""
BESIDE_IN = 0.9
"""What axis and legend take beside the rows."""
LEAST_IN = 1.5


def draw(kind: str, files: Sequence[str], out: str, size: tuple[float | None, float | None], options: Mapping) -> Path:
    """Write the figure of a kind to `out`, `size` inches wide and high, and say where it is.

    ResultError for files that cannot be read or have nothing to draw, JobError for an unknown ending of `out`.
    """
    path = Path(out)
    with ExitStack() as opened:
        runs = [opened.enter_context(open_results(file)) for file in find(files)]
        paint(_drawing(kind, runs, options), path, size[0], size[1] or _height(kind, runs, options.get("labels", ())))
    return path


def _drawing(kind: str, runs: list[Any], options: Mapping[str, Any]) -> Any:
    if kind == "confusion":
        return partial(plots.confusion, *confused(runs[0], **options))
    given = runs[0] if kind in ("labels", "gantt") else runs
    return partial(getattr(plots, kind), given, **options)


def _height(kind: str, runs: list[Any], labels: Sequence[str]) -> float:
    if kind == "confusion":
        return 2.9
    if kind in ("clients", "study") or (kind == "times" and len(runs) > 1):
        found = series(runs, labels)
        names = labels if kind == "study" else [one.legend for one in found]  # those that a study finds are short
        lines = max((len(broken(name).splitlines()) for name in names), default=1)
        return max(LEAST_IN, BESIDE_IN + max(ROW_IN, LINE_IN * (lines + 1)) * len(found))
    return HEIGHT_IN
