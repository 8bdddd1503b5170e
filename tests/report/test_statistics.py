"""Intervals and paired tests, against SciPy's own words and against numbers of the literature."""

import warnings

import numpy as np
import pytest
from scipy import stats

from hpcfl.report.statistics import compare_pairs, interval

SEEDS = range(12)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_interval_is_scipys(count):
    values = np.random.default_rng(count).random(count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert interval(values.tolist()) == pytest.approx((high - low) / 2, rel=1e-12)


def test_the_interval_of_students_table():
    assert interval([0.0, 2.0]) == pytest.approx(12.706204736174694, rel=1e-12)  # t(0.975, 1) * sqrt(2) / sqrt(2)
    assert np.isnan(interval([1.0]))
    assert np.isnan(interval([]))


@pytest.mark.parametrize("count", [2, 5, 6, 12])
@pytest.mark.parametrize("scale", [1, 1e-6, 1e9])
def test_the_tests_are_scipys(count, scale):
    rng = np.random.default_rng(count)
    mine, theirs = scale * rng.random(count), scale * rng.random(count)
    found = compare_pairs(dict(enumerate(mine)), dict(enumerate(theirs)))
    assert found.pairs == count
    assert found.difference == pytest.approx((mine - theirs).mean(), rel=1e-12)
    assert found.t == pytest.approx(stats.ttest_rel(mine, theirs).pvalue, rel=1e-12)
    if count < 6:
        assert np.isnan(found.wilcoxon)
    else:
        assert found.wilcoxon == pytest.approx(stats.wilcoxon(mine, theirs).pvalue, rel=1e-12)


def test_darwins_maize():
    """Fisher 1935: 15 pairs of plants, t = 2.148, p just below 0.05."""
    crossed = [23.5, 12, 21, 22, 19.125, 21.5, 22.125, 20.375, 18.25, 21.625, 23.25, 21, 22.125, 23, 12]
    selfed = [17.375, 20.375, 20, 20, 18.375, 18.625, 18.625, 15.25, 16.5, 18, 16.25, 18, 12.75, 15.5, 18]
    found = compare_pairs(dict(enumerate(crossed)), dict(enumerate(selfed)))
    assert found.difference == pytest.approx(2.6167, abs=1e-4)
    assert found.t == pytest.approx(2 * stats.t.sf(2.148, 14), abs=1e-4)


def test_pairs_are_those_that_both_have_and_know():
    found = compare_pairs({0: 0.5, 1: 0.75, 2: float("nan"), 9: 0.0}, {0: 0.25, 1: 0.25, 2: 0.5, 7: 1.0})
    assert (found.pairs, found.difference) == (2, 0.375)
    assert compare_pairs({0: 1.0}, {1: 1.0}).pairs == 0
    one = compare_pairs({0: 0.5}, {0: 0.25})
    assert (one.pairs, one.difference) == (1, 0.25)
    assert np.isnan([one.t, one.wilcoxon]).all()


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_differences_that_are_all_the_same_are_not_tested(shift):
    base = {seed: 0.1 * seed for seed in SEEDS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_pairs({seed: value + shift for seed, value in base.items()}, base)
    assert found.difference == pytest.approx(shift)
    assert np.isnan([found.t, found.wilcoxon]).all()


def test_rounding_makes_no_ranks():
    apart = np.array([1, -1, 2, 2, 3, 3, 4]) / 10
    base = np.arange(7) / 10
    found = compare_pairs(dict(enumerate(base + apart)), dict(enumerate(base)))
    assert found.wilcoxon == stats.wilcoxon([1, -1, 2, 2, 3, 3, 4]).pvalue
