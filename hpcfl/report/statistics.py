"""Means over seeds and how sure they are, by SciPy: Student's interval, the paired t test, Wilcoxon's test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ALPHA", "Paired", "compare_pairs", "interval"]

ALPHA = 0.05
"""Intervals hold the mean but in so many of all cases; a difference with a smaller p is marked."""
FEWEST = 6
"""With fewer pairs no outcome of Wilcoxon's test has a two-sided p below 0.05: of five the least is 2 / 2**5."""


def interval(values: Sequence[float]) -> float:
    """Half the width of the mean's 95 % confidence interval, by Student's t (1908); NaN of fewer than two values."""
    count = len(values)
    if count < 2:
        return math.nan
    from scipy.special import stdtrit  # a fraction of scipy.stats, which takes half a second to import

    return float(stdtrit(count - 1, 1 - ALPHA / 2) * np.std(values, ddof=1) / math.sqrt(count))


@dataclass(frozen=True)
class Paired:
    """How much a run's figures exceed the baseline's, pair by pair."""

    pairs: int
    difference: float
    """Its mean."""
    t: float
    """Two-sided p of the paired t test; NaN of fewer than two pairs, and where all differences are the same."""
    wilcoxon: float
    """Two-sided p of the signed-rank test (Wilcoxon 1945); NaN of fewer than six pairs that differ."""


def compare_pairs(figures: Mapping[object, float], baseline: Mapping[object, float]) -> Paired:
    """The test over the keys (seeds) that both have, of those whose figures are known in both."""
    shared = [key for key in figures if key in baseline]
    apart = np.array([figures[key] - baseline[key] for key in shared], float)
    apart = apart[~np.isnan(apart)]
    if not len(apart):
        return Paired(0, math.nan, math.nan, math.nan)
    t = signed = math.nan
    # what differs in the last digits is a tie: it must have neither a variance nor ranks
    level = 1e-12 * max(map(abs, (*figures.values(), *baseline.values())))
    if len(apart) > 1 and np.ptp(apart) > level:
        from scipy import stats

        t = float(stats.ttest_1samp(apart, 0).pvalue)
        ranked = np.round(apart / level) * level
        if np.count_nonzero(ranked) >= FEWEST:
            signed = float(stats.wilcoxon(ranked).pvalue)
    return Paired(len(apart), float(apart.mean()), t, signed)
