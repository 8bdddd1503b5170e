"""How every figure looks: one column wide, safe for the colour-blind, its legend above the data."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hpcfl.errors import JobError, ResultError

__all__ = [
    "COLOURS",
    "ENDINGS",
    "LINES",
    "broken",
    "colours",
    "in_seconds",
    "legend",
    "name_rows",
    "paint",
    "percent",
    "scaled",
    "whole",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's (2008) palette without its yellow, which is too pale for lines on paper."""
MUTED = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB")
"""Tol's muted palette (2021), for the ten classes that many datasets have."""
LINES = ("-", "--", "-.", ":")
"""Curves differ in these too: for prints in grey."""
ENDINGS = (".pdf", ".png", ".svg")
WIDTH_IN = 3.4
"""One column of a two-column page."""
HEIGHT_IN = 2.4
DOTS_PER_INCH = 300
ROW_LETTERS = 20
"""Letters of a row's name before it is broken: half of the column is for the data."""

LOOK = {
    "font.size": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7,
    "axes.linewidth": 0.6, "lines.linewidth": 1.1, "hatch.linewidth": 0.5, "axes.axisbelow": True,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "hpcfl",
}  # fmt: skip
"""Text stays text in PDF and SVG."""
UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
"""The same files give the same bytes again."""
SECONDS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))


def paint(draw: Callable[[Axes], Any], path: Path, width: float | None = None, height: float | None = None) -> None:
    """Let `draw` fill a new Axes of `width` x `height` inches, and write the figure to `path` by its ending."""
    if path.suffix.lower() not in ENDINGS:
        raise JobError(f"--out {path}: should end in {', '.join(ENDINGS)}")
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **LOOK}):
        if path.parent.exists() and not path.parent.is_dir():
            raise ResultError(f"cannot write {path}: {path.parent} is not a folder")
        figure = Figure(figsize=(width or WIDTH_IN, height or HEIGHT_IN), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata=UNDATED[path.suffix.lower()])
        except OSError as failure:
            raise ResultError(f"cannot write {path}: {failure.strerror or failure}") from None


def colours(count: int) -> list[Any]:
    """So many colours that can be told apart; more than the palettes have are steps from dark to light."""
    for palette in (COLOURS, MUTED):
        if count <= len(palette):
            return list(palette[:count])
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.95, count)))


def legend(axes: Axes, least: int = 2) -> None:
    """The legend above the axes, read row by row, in as few rows as are not wider; none for fewer than `least` entries.

    Lines stand behind bars.
    """
    entries = sorted(zip(*axes.get_legend_handles_labels()), key=lambda entry: isinstance(entry[0], Line2D))
    if len(entries) < least:
        return
    axes.figure.draw_without_rendering()  # only then the layout knows how wide the axes are
    room = axes.get_window_extent().width
    for rows in range(1, len(entries) + 1):
        columns = math.ceil(len(entries) / rows)
        dealt = [entry for column in range(columns) for entry in entries[column::columns]]  # it fills column by column
        made = axes.legend(
            *zip(*dealt), ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.3,
            handlelength=1.8, handletextpad=0.5, columnspacing=1.2,
        )  # fmt: skip
        if made.get_window_extent().width <= room:
            return


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure that has one per series, the first at the top."""
    axes.set_yticks(range(len(names)), list(map(broken, names)))
    axes.set_ylim(len(names) - 0.5, -0.5)


def broken(name: str) -> str:
    """The name of a row in lines that leave room for the data."""
    return textwrap.fill(name, ROW_LETTERS)


def percent(axis: Any) -> None:
    """Ticks of shares, in percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}"))


def whole(axis: Any, most: int = 6) -> None:
    """Round ticks at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def in_seconds(axis: Any, largest: float, what: str) -> None:
    """Label an axis of seconds "WHAT [unit]", in the unit that suits its largest value; the data stay seconds."""
    scaled(axis, largest, what, SECONDS)


def scaled(axis: Any, largest: float, what: str, units: Sequence[tuple[float, str]] = BYTES) -> None:
    """Label an axis "WHAT [unit]" with the largest unit that leaves its largest value above two; the data stay."""
    factor, unit = max((pair for pair in units if pair[0] * 2 <= largest), default=units[0])
    axis.set_label_text(f"{what} [{unit}]")
    if factor != 1:
        places = np.linspace(0, largest / factor, 6)
        axis.set_ticks(nice(places[-1]) * factor)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / factor:g}"))


def nice(largest: float) -> np.ndarray:
    """Round ticks from 0 up to `largest`."""
    step = 10 ** np.floor(np.log10(largest / 3))
    step *= max(factor for factor in (1, 2, 5, 10) if factor * step * 3 <= largest * 1.0000001)
    return np.arange(0, largest + step / 2, step)
