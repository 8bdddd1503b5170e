"""How many server steps the updates were behind: a histogram for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hpcfl.errors import ResultError
from hpcfl.plots.series import series
from hpcfl.plots.style import COLOURS, legend, percent, whole
from hpcfl.plots.tables import Run, many, table, within
from hpcfl.results.format import COMBINED

__all__ = ["behind", "staleness"]

MOST_BARS = 25


def staleness(
    runs: Run | Iterable[Run], axes: Axes, labels: Sequence[str] = (), rounds: tuple[int, int] | None = None
) -> None:
    """The share of the updates that were so many server steps behind, in the `rounds` from the first to the last.

    Bars of a series stand beside those of the others. ResultError where a run has no updates.
    """
    found = series(many(runs), labels)
    counted = [np.concatenate([behind(run, rounds) for run in one.runs]) for one in found]
    most = max(values.max() for values in counted)
    wide = int(np.ceil((most + 1) / MOST_BARS))
    edges = np.arange(0, most + wide + 1, wide)
    width = 0.8 * wide / len(found)
    for number, (one, values) in enumerate(zip(found, counted)):
        shares = np.histogram(values, edges)[0] / len(values)
        places = edges[:-1] + (wide - 1) / 2 + width * (number - (len(found) - 1) / 2)
        label = f"{one.label}, mean {values.mean():.1f}"
        axes.bar(places, shares, width, color=COLOURS[number % len(COLOURS)], linewidth=0, label=label)
    axes.set_xlabel(f"staleness [server steps{f', {wide} in a bar' if wide > 1 else ''}]")
    axes.set_ylabel("updates [%]")
    percent(axes.yaxis)
    whole(axes.xaxis, 8)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    legend(axes, least=1)


def behind(run: Run, rounds: tuple[int, int] | None = None) -> np.ndarray:
    """(updates,) the staleness of each update that was combined."""
    events = table(run, "events")
    used = np.isin(events["status"], COMBINED) & within(events["step"], rounds)
    if not used.any():
        raise ResultError(f"{run.path} has no updates{f' in rounds {rounds[0]} to {rounds[1]}' if rounds else ''}")
    return (events["step"] - 1 - events["version"])[used]
