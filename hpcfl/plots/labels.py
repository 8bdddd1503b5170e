"""Who holds which labels: the bubbles or stacked bars with which papers show a partition."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from hpcfl.analysis.quantities import held
from hpcfl.analysis.tables import Run
from hpcfl.plots.style import COLOURS, colours, legend, whole

__all__ = ["labels"]

MOST = {"bubbles": 30, "bars": 100}
"""Clients drawn unless more are asked for: what one column has room for."""
BUBBLE_PT = 13
"""Widest bubble, which the legend has too."""
MOST_NAMES = 20
"""Classes up to which each is named."""


def labels(run: Run, axes: Axes, style: Literal["bubbles", "bars"] = "bubbles", clients: int | None = None) -> None:
    """The training samples of the first `clients` clients with each label: areas of bubbles, or heights of bars.

    ResultError where the file does not say.
    """
    counts, names = held(run)
    shown = counts[: clients or MOST[style]]
    if style == "bubbles":
        _bubbles(axes, shown, names)
    else:
        _bars(axes, shown, names)
    some = f" (the first {len(shown)} of {len(counts):,})" if len(shown) < len(counts) else ""
    axes.set_xlabel(f"client{some}")
    whole(axes.xaxis, 8)
    axes.set_xlim(-0.7, len(shown) - 0.3)


def _bubbles(axes: Axes, counts: np.ndarray, names: list[str]) -> None:
    clients, classes = np.nonzero(counts)
    sizes = counts[clients, classes]
    axes.set_xlim(-0.7, len(counts) - 0.3)
    _name(axes, names)
    axes.figure.draw_without_rendering()  # bubbles are sized in points: the layout must know the axes first
    box = axes.get_window_extent()
    room = min(box.width / (len(counts) + 1), box.height / (len(names) + 1)) * 72 / axes.figure.dpi
    largest = min(1.5 * room, BUBBLE_PT) ** 2
    axes.scatter(clients, classes, s=largest * sizes / sizes.max(), color=COLOURS[0], alpha=0.6, linewidth=0)
    axes.scatter([], [], s=largest, color=COLOURS[0], alpha=0.6, linewidth=0, label=f"{sizes.max():,} samples")
    legend(axes, least=1)


def _name(axes: Axes, names: list[str]) -> None:
    axes.set_ylim(-0.8, len(names) - 0.2)
    if len(names) <= MOST_NAMES:
        axes.set_yticks(range(len(names)), names)
    else:
        whole(axes.yaxis)
    axes.set_ylabel("label")


def _bars(axes: Axes, counts: np.ndarray, names: list[str]) -> None:
    places = np.arange(len(counts))
    bottom = np.zeros(len(counts), counts.dtype)
    for name, colour, column in zip(names, colours(len(names)), counts.T):
        axes.bar(places, column, bottom=bottom, width=0.85, color=colour, linewidth=0, label=name)
        bottom += column
    axes.set_ylim(0, 1.05 * bottom.max())  # left alone, an empty bar on top of the highest leaves no margin
    axes.set_ylabel("training samples")
    if len(names) <= MOST_NAMES:
        legend(axes, least=1)
    else:
        first, last = colours(len(names))[0], colours(len(names))[-1]
        ends = [Patch(color=first, label=names[0]), Patch(color=last, label=f"to {names[-1]}, by colour")]
        axes.legend(handles=ends, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
