"""What the model takes for what: the test set's classes against the predictions of the model in the file."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from hpcfl.plots.style import percent

__all__ = ["confusion"]

MOST_NUMBERS = 10
"""Classes up to which every cell has its number."""
MOST_NAMES = 26
MOST_LETTERS = 30
"""Letters of all names up to which they stand side by side."""


def confusion(counts: np.ndarray, names: list[str], axes: Axes) -> None:
    """counts: (C, C) test samples of each class (row) by prediction (column), as `predictions.confused` has them.

    Colours are the share of a row, numbers too, in percent; shares below half a percent are left blank.
    """
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    if len(names) <= MOST_NUMBERS:
        for row, column in np.argwhere(shares >= 0.005):
            light = "black" if shares[row, column] > 0.6 else "white"
            share = f"{100 * shares[row, column]:.0f}"
            axes.text(column, row, share, ha="center", va="center", color=light, fontsize=6)
    if len(names) <= MOST_NAMES:
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        if sum(map(len, names)) > MOST_LETTERS:
            axes.tick_params(axis="x", rotation=45)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    axes.set(xlabel="prediction", ylabel="class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = axes.figure.colorbar(image, ax=axes, label="share of the class [%]", fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    percent(bar.ax.yaxis)
