"""Digits and synthetic samples."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from hpcfl.data import load, load_labels
from hpcfl.data.dataset import moments
from hpcfl.errors import DataError, JobError


def test_digits_are_all_there_and_divided_by_class():
    dataset = load("digits")
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    pixels = np.concatenate([dataset.x_train, dataset.x_test])[:, 0] * (16 / 255)
    original = load_digits().images
    assert sorted(map(tuple, np.rint(pixels).reshape(-1, 64))) == sorted(map(tuple, original.reshape(-1, 64)))
    assert np.abs(np.bincount(dataset.y_test) - 0.2 * np.bincount(load_digits().target)).max() < 1
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 255)


def test_digits_are_normalised_by_their_own_moments():
    dataset = load("digits")
    mean, std = moments(dataset.x_train)
    assert (dataset.mean, dataset.std) == (pytest.approx(mean, abs=5e-5), pytest.approx(std, abs=5e-5))


def test_digits_are_the_same_for_everyone():
    # Published results depend on the division: these numbers must never change.
    dataset = load("digits")
    assert np.bincount(dataset.y_test).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    assert int(dataset.x_test.astype(np.int64).sum()) == 1_798_057


def test_synthetic_samples_are_noise_and_prototype():
    params = {"samples": 4000, "test_samples": 40, "shape": [3, 5], "classes": 4, "seed": 7}
    noise, signal = (load("synthetic", params={**params, "signal": signal}) for signal in (0, 2.5))
    assert signal.x_train.shape == (4000, 3, 5)
    assert signal.x_train.dtype == np.float32
    assert abs(noise.x_train.mean()) < 0.02
    assert abs(noise.x_train.std() - 1) < 0.02
    for x, y, plain in ((signal.x_train, signal.y_train, noise.x_train), (signal.x_test, signal.y_test, noise.x_test)):
        added = (x - plain) / 2.5
        for label in range(4):
            assert np.allclose(added[y == label], added[label], atol=1e-5)
        assert added[:4].std() > 0.5
    train, test = ((part.x_train, part.x_test) for part in (signal, noise))
    assert np.allclose(train[0][0] - test[0][0], train[1][0] - test[1][0], atol=1e-5)


def test_synthetic_classes_take_turns():
    dataset = load("synthetic", params={"samples": 7, "test_samples": 4, "shape": [2], "classes": 3})
    assert dataset.y_train.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert dataset.y_test.tolist() == [0, 1, 2, 0]
    labels, classes, _ = load_labels("synthetic", params={"samples": 7, "classes": 3})
    assert (labels.tolist(), classes) == ([0, 1, 2, 0, 1, 2, 0], 3)


@pytest.mark.parametrize("params", [{"samples": 10**13, "shape": [1000]}, {"samples": 2**63}, {"classes": 10**30}])
def test_more_than_fits_in_memory(params):
    with pytest.raises(DataError, match="data.name = 'synthetic': does not fit in memory"):
        load("synthetic", params=params)


def test_synthetic_seeds():
    params = {"samples": 10, "test_samples": 10, "shape": [4]}
    first, again, other = (load("synthetic", params={**params, "seed": seed}).x_train for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"samples": 0}, "data.samples = 0: must be greater than 0"),
        ({"shape": [1, 0]}, r"data.shape = \[1, 0\]: must be greater than 0 throughout"),
        ({"shape": 28}, "data.shape = 28: must be a list of whole numbers"),
        ({"shape": []}, "must be a list of whole numbers"),
        ({"signal": float("inf")}, "data.signal = inf: must be a finite number"),
        ({"seed": 1.5}, "data.seed = 1.5: must be a whole number"),
        ({"sample": 5}, "data.sample: unknown key; did you mean samples"),
    ],
)
def test_mistakes_in_the_job(params, message):
    with pytest.raises(JobError, match=message):
        load("synthetic", params=params)
