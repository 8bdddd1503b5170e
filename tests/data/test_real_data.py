"""The real datasets under HPCFL_DATA, where there are any, against what is known of them."""

import os

import numpy as np
import pytest

from hpcfl.data import find_root, load, load_labels
from hpcfl.data.catalog import SOURCES
from hpcfl.data.dataset import moments
from hpcfl.data.source import Published

FACTS = {
    "mnist": (60_000, 10_000, [5, 0, 4, 1, 9], [7, 2, 1, 0, 4]),
    "fashion_mnist": (60_000, 10_000, [9, 0, 0, 3, 0], [9, 2, 1, 1, 6]),
    "cifar10": (50_000, 10_000, [6, 9, 9, 4, 1], [3, 8, 8, 0, 6]),
    "cifar100": (50_000, 10_000, [19, 29, 0, 11, 1], [49, 33, 72, 51, 71]),
    "svhn": (73_257, 26_032, [1, 9, 2, 3, 2], [5, 2, 1, 0, 6]),
}


@pytest.mark.parametrize("name", FACTS)
def test_known_facts(name):
    root = find_root(None, os.environ)
    source = SOURCES[name]
    assert isinstance(source, Published)
    if source.find(root) is None:
        pytest.skip(f"{source.title} is not under HPCFL_DATA ({root})")
    train, test, first, first_test = FACTS[name]
    dataset = load(name, root=root)
    assert (len(dataset.x_train), len(dataset.x_test)) == (train, test)
    assert (dataset.y_train[:5].tolist(), dataset.y_test[:5].tolist()) == (first, first_test)
    mean, std = moments(dataset.x_train)
    assert dataset.mean == pytest.approx(mean, abs=2e-4)
    assert dataset.std == pytest.approx(std, abs=2e-4)
    labels, classes, _ = load_labels(name, root=root)
    assert np.array_equal(labels, dataset.y_train)
    assert classes == dataset.classes == len(np.unique(labels))
