"""A table of figures with their spread, as text, Markdown or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

__all__ = ["FORMATS", "Grid"]

Key = tuple[str, ...]


@dataclass
class Grid:
    """Rows by their key, columns by their name; in each cell one figure per run, in the order in which they came."""

    heads: Key
    """What the parts of a row's key are called."""
    columns: list[str] = field(default_factory=list)
    rows: dict[Key, dict[str, list[float]]] = field(default_factory=dict)

    def enter(self, key: Key, figures: Mapping[str, float]) -> None:
        """Add a run's figures to its row; columns that are new come last."""
        row = self.rows.setdefault(key, {})
        for column, figure in figures.items():
            if column not in self.columns:
                self.columns.append(column)
            row.setdefault(column, []).append(figure)

    @property
    def caption(self) -> str:
        """What the figures are."""
        counts = [max(map(len, row.values())) for row in self.rows.values()]
        few, most = min(counts), max(counts)
        if most == 1:
            return "accuracy [%]"
        runs = f"{few}" if few == most else f"{few} to {most}"
        return f"accuracy [%], mean ± standard deviation over {runs} seeds"

    def lines(self) -> list[list[str]]:
        """The heading and each row as words."""
        body = [[*key, *(spread(row.get(column, ())) for column in self.columns)] for key, row in self.rows.items()]
        return [[*self.heads, *self.columns], *body]

    def opens(self) -> list[int]:
        """How many leading parts of its key each row shares with the one above it: these need not be said again."""
        keys = list(self.rows)
        same = [0]
        for above, key in zip(keys, keys[1:]):
            same.append(next((at for at, both in enumerate(zip(above, key)) if both[0] != both[1]), len(key) - 1))
        return same


def spread(figures: Sequence[float]) -> str:
    """Mean and, of several, sample standard deviation in percent with a decimal; nothing where nothing is known."""
    known = [100 * figure for figure in figures if not math.isnan(figure)]
    if not known:
        return ""
    return f"{mean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def text(grid: Grid) -> str:
    """Columns side by side; what the row above says already is left blank."""
    (head, *body), same = grid.lines(), grid.opens()
    body = [[*[""] * shared, *line[shared:]] for shared, line in zip(same, body)]
    widths = [max(map(len, column)) for column in zip(head, *body)]
    left = len(grid.heads)

    def aligned(line: list[str]) -> str:
        words = [
            word.ljust(width) if at < left else word.rjust(width) for at, (word, width) in enumerate(zip(line, widths))
        ]
        return "  ".join(words).rstrip()

    rule = "-" * len("  ".join("-" * width for width in widths))
    lines = [aligned(head)]
    for shared, line in zip(same, body):
        lines += ([rule] if shared < left - 1 else []) + [aligned(line)]
    return "\n".join([*lines, rule, grid.caption])


def markdown(grid: Grid) -> str:
    """A pipe table; every row says its whole key."""
    head, *body = grid.lines()
    rule = ["---"] * len(grid.heads) + ["---:"] * len(grid.columns)
    body = [[word.replace("|", r"\|") for word in line] for line in body]
    table = [f"| {' | '.join(line)} |" for line in (head, rule, *body)]
    return "\n".join([*table, "", f"{grid.caption[:1].upper()}{grid.caption[1:]}."])


def latex(grid: Grid) -> str:
    """A tabular for the package booktabs."""
    (head, *body), same, left = grid.lines(), grid.opens(), len(grid.heads)
    lines = [
        f"% {grid.caption}",
        rf"\begin{{tabular}}{{{'l' * left}{'r' * len(grid.columns)}}}",
        r"\toprule",
        _row(head),
    ]
    for shared, line in zip(same, body):
        lines += ([r"\midrule"] if shared < left - 1 else []) + [_row([*[""] * shared, *line[shared:]])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _row(words: Sequence[str]) -> str:
    return " & ".join("".join(SPECIAL.get(letter, letter) for letter in word) for word in words) + r" \\"


SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}
"""What LaTeX takes for other than itself."""

FORMATS: dict[str, Callable[[Grid], str]] = {"text": text, "markdown": markdown, "latex": latex}
