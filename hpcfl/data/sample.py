"""Samples in order of class, and a sample in which every class has its share."""

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
