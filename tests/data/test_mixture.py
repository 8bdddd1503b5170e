"""FedEM's synthetic data: known mixtures of known rules."""

import numpy as np
import pytest

from hpcfl.data import load
from hpcfl.data.mixture import recovery_error, true_mixtures

PARAMS = {"clients": 40, "dimension": 10}


def test_sizes_and_shapes():
    data = load("mixture", params={**PARAMS, "test_samples": 80})
    sizes = np.bincount(data.holders)
    assert len(sizes) == 40
    assert sizes.min() >= 50
    assert sizes.max() == 1000  # lognormal(4, 2) goes beyond it for one client in fourteen
    assert data.x_train.shape == (sizes.sum(), 10)
    assert np.abs(data.x_train).max() <= 1
    assert (data.x_test.shape, data.classes) == ((80, 10), 2)


def test_a_seed_is_one_dataset():
    first, again, other = (load("mixture", params={**PARAMS, "seed": seed}) for seed in (1, 1, 2))
    assert np.array_equal(first.x_train, again.x_train)
    assert np.array_equal(first.y_train, again.y_train)
    assert not np.array_equal(first.holders, other.holders)
    assert np.array_equal(true_mixtures(40, seed=1), true_mixtures(40, seed=1))
    assert not np.array_equal(true_mixtures(40, seed=1), true_mixtures(40, seed=2))


def test_clients_follow_their_mixtures():
    # the rule that explains a client of one rule, by least squares, explains another of the same rule, and no others
    data = load("mixture", params={**PARAMS, "alpha": 0.02, "noise": 0.0})
    kind = true_mixtures(40, alpha=0.02).argmax(1)
    pure = [client for client in np.flatnonzero(np.bincount(data.holders) > 300)
            if true_mixtures(40, alpha=0.02)[client].max() > 0.999]  # fmt: skip
    assert len({kind[client] for client in pure}) > 1
    first, *others = pure
    signs = 2.0 * data.y_train - 1
    mine = data.holders == first
    rule = np.linalg.lstsq(data.x_train[mine], signs[mine], rcond=None)[0]
    for client in others:
        theirs = data.holders == client
        right = ((data.x_train[theirs] @ rule > 0) == data.y_train[theirs]).mean()
        assert (right > 0.9) == (kind[client] == kind[first]), (client, right)


def test_the_error_of_recovered_mixtures():
    true = np.array([[1.0, 0.0, 0.0], [0.25, 0.5, 0.25]])
    assert recovery_error(true[:, [2, 0, 1]], true) == 0
    found = np.array([[0.8, 0.2, 0.0], [0.5, 0.25, 0.25]])
    assert recovery_error(found, true) == pytest.approx((0.2 + 0.25) / 2)
