"""A table of figures with their spread, the best of those that compete, and what differs from a baseline."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from hpcfl.report.statistics import ALPHA, Paired, interval

__all__ = ["FORMATS", "SPREADS", "Grid", "Style"]

Key = tuple[str, ...]

SPREADS: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "std": ("standard deviation", stdev),
    "ci": ("95 % interval (Student's t)", interval),
}
"""What stands behind a mean over seeds -> in words, and from the figures."""


@dataclass(frozen=True)
class Style:
    """How the figures of a column are written, and which of them is the best."""

    scale: float = 100
    digits: int = 1
    high: bool = True


@dataclass
class Grid:
    """Rows by their key, columns by their name; in each cell one figure per run, in the order in which they came."""

    heads: Key
    """What the parts of a row's key are called."""
    columns: list[str] = field(default_factory=list)
    rows: dict[Key, dict[str, list[float]]] = field(default_factory=dict)
    what: str = "accuracy [%]"
    """What the figures are, where the columns do not say."""
    spread: str = "std"
    styles: dict[str, Style] = field(default_factory=dict)
    """Of columns that are not percent, and more the better."""
    best: set[tuple[Key, str]] = field(default_factory=set)
    """The cells that are bold."""
    baseline: str = ""
    pairs: dict[tuple[Key, str], Paired] = field(default_factory=dict)
    """The cells that were tested against the baseline's."""
    test: str = "t"

    def enter(self, key: Key, figures: Mapping[str, float]) -> None:
        """Add a run's figures to its row; columns that are new come last."""
        row = self.rows.setdefault(key, {})
        for column, figure in figures.items():
            if column not in self.columns:
                self.columns.append(column)
            row.setdefault(column, []).append(figure)

    def crown(self, cells: Sequence[tuple[Key, str]]) -> None:
        """Make the best of the cells bold, and those that look the same, if there is one that is worse.

        A cell without a figure, or with runs that have none, does not compete.
        """
        known = {}
        for key, column in cells:
            figures, style = self.rows[key].get(column, ()), self.style(column)
            if figures and not any(map(math.isnan, figures)):
                known[key, column] = round(style.scale * mean(figures), style.digits) * (1 if style.high else -1)
        if len(set(known.values())) > 1:
            self.best |= {cell for cell, value in known.items() if value == max(known.values())}

    def style(self, column: str) -> Style:
        return self.styles.get(column, Style())

    @property
    def caption(self) -> str:
        """What the figures are, and how the spread was got."""
        counts = [max(map(len, row.values())) for row in self.rows.values()]
        few, most = min(counts), max(counts)
        parts = [self.what] if self.what else []
        if most > 1:
            runs = f"{few}" if few == most else f"{few} to {most}"
            parts.append(f"mean ± {SPREADS[self.spread][0]} over {runs} seeds")
        return ", ".join(parts)

    @property
    def findings(self) -> list[str]:
        """A line for each cell that was tested against the baseline."""
        if not self.pairs:
            return []
        name = "Wilcoxon's signed-rank test" if self.test == "wilcoxon" else "paired t test"
        marked = any(self.differs(key, column) for key, column in self.pairs)
        lines = [f"{DAGGER} differs from {self.baseline}: p < {ALPHA}, {name}"] if marked else []
        for (key, column), pair in self.pairs.items():
            style = self.style(column)
            seeds = f"{pair.pairs} seed{'s' * (pair.pairs != 1)}"
            parts = [f"{style.scale * pair.difference:+.{style.digits + 1}f} over {seeds}"]
            tests = {"t": pair.t, "Wilcoxon": pair.wilcoxon}
            parts += [f"{test} p = {p:.2g}" for test, p in tests.items() if not math.isnan(p)]
            lines.append(f"{', '.join((*key, column))} against {self.baseline}: {', '.join(parts)}")
        return lines

    def lines(self, dress: Callable[[str, bool], str] = lambda word, best: word) -> list[list[str]]:
        """The heading and each row as words; `dress` makes of a word, and whether it is the best, what is written."""
        body = [
            [
                *(dress(part, False) for part in key),
                *(dress(self.cell(key, column), (key, column) in self.best) for column in self.columns),
            ]
            for key in self.rows
        ]
        return [[dress(word, False) for word in (*self.heads, *self.columns)], *body]

    def cell(self, key: Key, column: str) -> str:
        """Mean and, of several, spread, with a dagger where it differs from the baseline; of runs without a figure how
        many have one; nothing where nothing is known."""
        figures, style = self.rows[key].get(column, ()), self.style(column)
        known = [style.scale * figure for figure in figures if not math.isnan(figure)]
        if not known:
            return ""
        word = f"{mean(known):.{style.digits}f}"
        if len(known) > 1:
            word += f" ± {SPREADS[self.spread][1](known):.{style.digits}f}"
        if len(known) < len(figures):
            word += f" ({len(known)} of {len(figures)})"
        return word + (f" {DAGGER}" if self.differs(key, column) else "")

    def differs(self, key: Key, column: str) -> bool:
        """Whether the test says that the cell differs from the baseline's."""
        pair = self.pairs.get((key, column))
        return pair is not None and (pair.wilcoxon if self.test == "wilcoxon" else pair.t) < ALPHA

    def opens(self) -> list[int]:
        """How many leading parts of its key each row shares with the one above it: these need not be said again."""
        keys = list(self.rows)
        same = [0]
        for above, key in zip(keys, keys[1:]):
            same.append(next((at for at, both in enumerate(zip(above, key)) if both[0] != both[1]), len(key) - 1))
        return same


DAGGER = "†"


def text(grid: Grid) -> str:
    """Columns side by side; what the row above says already is left blank."""
    (head, *body), same = grid.lines(lambda word, best: f"*{word}" if best else word), grid.opens()
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
        lines += ([rule] if shared < left - 1 or len(lines) == 1 else []) + [aligned(line)]
    caption = "; ".join(filter(None, [grid.caption, "* the best" if grid.best else ""]))
    return "\n".join([*lines, rule, *filter(None, [caption]), *grid.findings])


def markdown(grid: Grid) -> str:
    """A pipe table; every row says its whole key."""

    def dress(word: str, best: bool) -> str:
        word = MARKUP.sub(r"\\\g<0>", word)
        return f"**{word}**" if best else word

    head, *body = grid.lines(dress)
    rule = ["---"] * len(grid.heads) + ["---:"] * len(grid.columns)
    table = [f"| {' | '.join(line)} |" for line in (head, rule, *body)]
    caption = f"{grid.caption[:1].upper()}{grid.caption[1:]}."
    return "\n".join(
        [*table, *(["", caption] if grid.caption else []), *(f"- {dress(line, False)}" for line in grid.findings)]
    )


MARKUP = re.compile(r"[\\`*|<]|\b_|_\b")
"""What Markdown takes for other than itself: an underscore within a word stands for itself."""


def latex(grid: Grid) -> str:
    """A tabular for the package booktabs."""

    def dress(word: str, best: bool) -> str:
        word = "".join(SPECIAL.get(letter, letter) for letter in word)
        return rf"\textbf{{{word}}}" if best else word

    (head, *body), same, left = grid.lines(dress), grid.opens(), len(grid.heads)
    lines = [
        *(f"% {line}" for line in filter(None, [grid.caption, *grid.findings])),
        rf"\begin{{tabular}}{{{'l' * left}{'r' * len(grid.columns)}}}",
        r"\toprule",
        _row(head),
    ]
    start = len(lines)
    for shared, line in zip(same, body):
        rule = shared < left - 1 or len(lines) == start
        lines += ([r"\midrule"] if rule else []) + [_row([*[""] * shared, *line[shared:]])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _row(words: Sequence[str]) -> str:
    line = " & ".join(words) + r" \\"
    return "{}" + line if line.startswith(("[", "*")) else line  # or \\ and \midrule before it would take it as theirs


SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "±": r"$\pm$",
    DAGGER: r"$\dagger$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
"""What LaTeX takes for other than itself."""


def comma_separated(grid: Grid) -> str:
    """A line per cell: its key and column; how many runs and how many of them have a figure; mean, deviation and
    interval in the figures' own units (shares, seconds, bytes); whether it is bold; and the test against the baseline.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [*grid.heads, "column", "runs", "known", "mean", "std", "ci95", "best", *(TESTED if grid.pairs else ())]
    )
    for key, row in grid.rows.items():
        for column in grid.columns:
            figures = row.get(column, [])
            known = [figure for figure in figures if not math.isnan(figure)]
            several = len(known) > 1
            pair = grid.pairs.get((key, column))
            tested = (pair.pairs, pair.difference, pair.t, pair.wilcoxon) if pair else ("",) * len(TESTED)
            numbers = (
                mean(known) if known else math.nan,
                stdev(known) if several else math.nan,
                interval(known) if several else math.nan,
            )
            line = [*key, column, len(figures), len(known), *numbers, int((key, column) in grid.best)]
            writer.writerow(map(_plain, [*line, *(tested if grid.pairs else ())]))
    return out.getvalue().rstrip("\n")


TESTED = ("pairs", "difference", "p_t", "p_wilcoxon")


def _plain(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value


FORMATS: dict[str, Callable[[Grid], str]] = {
    "text": text, "markdown": markdown, "latex": latex, "csv": comma_separated,
}  # fmt: skip
"""`table`: the layout of a paper's table, from result files."""
