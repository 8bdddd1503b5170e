"""A curve in a terminal: in braille dots, eight to a character, or in ASCII."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["curve"]

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Unicode's bit of each dot of a braille character, (4, 2) from the top left."""


def curve(x: Sequence[float], y: Sequence[float], width: int, height: int, braille: bool = True) -> list[str]:
    """Lines of the picture of y against x, (K,) each and x ascending, on `width` x `height` characters with its axes.

    NaN are left out; without any point there is no line.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if not len(x):
        return []
    low, high = float(y.min()), float(y.max())
    ticks = [f"{high:.3f}", f"{low:.3f}"]
    left = max(map(len, ticks))
    columns, rows = max(width - left - 1, 2), max(height - 1, 2)
    across, up = (2, 4) if braille else (1, 1)
    lit = plot(x, y, low, high, columns * across, rows * up)
    lines = []
    for row in range(rows):
        cells = lit[row * up : (row + 1) * up].reshape(up, columns, across).swapaxes(0, 1)
        tick = ticks[0] if row == 0 else ticks[1] if row == rows - 1 else ""
        lines.append(f"{tick:>{left}} " + "".join(_character(cell, braille) for cell in cells).rstrip())
    first, last = f"{x[0]:,.0f}", f"{x[-1]:,.0f}"
    return [*lines, " " * (left + 1) + first + last.rjust(columns - len(first))]


def plot(x: np.ndarray, y: np.ndarray, low: float, high: float, columns: int, rows: int) -> np.ndarray:
    """(rows, columns) of bool: the dots of the line through the points; the top row is `high`."""
    lit = np.zeros((rows, columns), bool)
    at = np.linspace(x[0], x[-1], columns) if x[-1] > x[0] else x[:1]
    share = (np.interp(at, x, y) - low) / (high - low) if high > low else np.full(len(at), 0.5)
    places = np.round((1 - share) * (rows - 1)).astype(int)
    before = places[0]
    for column, place in enumerate(places):
        # a steep line is closed up from the dot before
        start = before + (1 if before < place else -1 if before > place else 0)
        lit[min(start, place) : max(start, place) + 1, column] = True
        before = place
    return lit


def _character(cell: np.ndarray, braille: bool) -> str:
    if not cell.any():
        return " "
    return chr(0x2800 + int(DOTS[cell].sum())) if braille else "*"
