"""Samples in order of class, a sample in which every class has its share, and what is held out for testing."""

import numpy as np


def by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All sample indices in order of class, at random within each."""
    order = rng.permutation(len(labels))
    return order[np.argsort(labels[order], kind="stable")]


def stratified(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted indices of `count` of the samples; each class is drawn in proportion, rounded up or down.

    Systematic sampling: with the samples in order of class, every (N / count)-th is taken, from a random start. No
    class is favoured, even where `count` is less than the number of classes.
    """
    order = by_class(labels, rng)
    taken = np.floor((np.arange(count) + rng.random()) * (len(labels) / count)).astype(np.int64)
    return np.sort(order[np.minimum(taken, len(labels) - 1)])


def held_out(
    labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator, least: int = 0
) -> np.ndarray:
    """(N,) bool: the test samples, `share` of each group's, stratified by label: `least` or more, but never all.

    `groups` (N,) are whole numbers: samples of one holder, say, who so remains a client and is tested too.
    """
    test = np.zeros(len(labels), bool)
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order], append=groups.max() + 1)) + 1
    for members in np.split(order, ends[:-1]):
        count = min(max(round(share * len(members)), least), len(members) - 1)
        if count:
            test[members[stratified(labels[members], count, rng)]] = True
    return test


def numbered(holders: np.ndarray) -> np.ndarray:
    """(N,) int64: the same holders, numbered from 0 without gaps in their sorted order."""
    return np.unique(holders, return_inverse=True)[1].astype(np.int64).reshape(-1)
