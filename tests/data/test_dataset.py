"""A dataset refuses arrays that do not fit together."""

import numpy as np
import pytest

from hpcfl.data.dataset import Dataset, moments
from hpcfl.errors import DataError


def fields(**changes):
    images = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    labels = np.array([0, 1, 0, 1])
    good = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    return {**good, "classes": 2, "labels": ("a", "b"), "mean": (0.5,) * 3, "std": (0.2,) * 3, **changes}


def test_shape_of_a_sample():
    assert Dataset(**fields()).shape == (3, 2, 2)


def test_float_samples_have_any_shape_and_no_moments():
    x = np.zeros((4, 7), np.float32)
    assert Dataset(**fields(x_train=x, x_test=x[:2], mean=(), std=())).shape == (7,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 0])}, "x_train has 4 samples, but y_train has 3 labels"),
        ({"y_test": np.array([0, 2])}, "y_test has labels from 0 to 2; valid are 0 to 1"),
        ({"y_train": np.array([0, -1, 0, 1])}, "y_train has labels from -1 to 1"),
        ({"y_train": np.zeros(4, np.int32)}, "y_train is int32"),
        ({"y_train": np.zeros((4, 1), np.int64)}, r"y_train is int64 \(4, 1\)"),
        ({"x_test": np.empty((0, 3, 2, 2), np.uint8), "y_test": np.empty(0, np.int64)}, "y_test is empty"),
        ({"x_train": np.empty((4, 3, 0, 2), np.uint8)}, "samples without a value"),
        ({"x_train": np.zeros(4, np.uint8)}, "at least two axes"),
        ({"x_train": np.zeros((4, 3, 2, 2))}, "x_train is float64; valid are uint8"),
        ({"x_train": np.zeros((4, 3, 4, 4), np.uint8)}, r"uint8 \(3, 4, 4\), but test samples are uint8 \(3, 2, 2\)"),
        ({"labels": ("a",)}, "2 classes, but 1 names"),
        ({"mean": (0.5,)}, "3 channels, but 1 means and 3 deviations"),
        ({"std": (0.2, 0.0, 0.2)}, "must be greater than 0"),
    ],
)
def test_what_does_not_fit(changes, message):
    with pytest.raises(DataError, match=message):
        Dataset(**fields(**changes))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    x = np.zeros((4, 7), np.float32)
    broken = x.copy()
    broken[2, 3] = value
    with pytest.raises(DataError, match="x_train contains NaN or infinite"):
        Dataset(**fields(x_train=broken, x_test=x[:2], mean=(), std=()))


def tokens(**changes):
    x = np.array([[0, 6], [3, 2], [1, 1], [5, 0]])
    return fields(x_train=x, x_test=x[:2], mean=(), std=(), **{"tokens": 7, **changes})


SMALL_TOKENS = {"x_train": tokens()["x_train"].astype(np.uint8), "x_test": tokens()["x_test"].astype(np.uint8)}


@pytest.mark.parametrize("changes", [{}, SMALL_TOKENS])
def test_text_is_tokens_of_an_alphabet(changes):
    dataset = Dataset(**{**tokens(), **changes})
    assert (dataset.shape, dataset.tokens) == ((2,), 7)
    assert Dataset(**fields()).tokens == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 6}, r"x_train is \(4, 2\) with tokens from 0 to 6; valid are sequences \(N, L\) of 0 to 5"),
        ({"x_test": np.array([[0, -1], [0, 0]])}, "x_test is .* with tokens from -1 to 0"),
        ({"tokens": 0}, "x_train is int64; valid are uint8"),
        ({"x_train": np.zeros((4, 2), np.float32)}, "x_train is float32; valid are int64 and uint8, as tokens = 7"),
        ({"x_train": np.zeros((4, 2, 2), int), "x_test": np.zeros((2, 2, 2), int)}, "x_train is .*valid are sequences"),
        ({"mean": (0.5,), "std": (1.0,)}, "mean and std are given for int64 samples"),
        ({**SMALL_TOKENS, "mean": (0.5,), "std": (1.0,)}, "mean and std are given for uint8 samples"),
        ({**SMALL_TOKENS, "tokens": 6}, "x_train is .* with tokens from 0 to 6"),
    ],
)
def test_tokens_that_do_not_fit(changes, message):
    with pytest.raises(DataError, match=message):
        Dataset(**{**tokens(), **changes})


def test_large_finite_values_are_finite():
    x = np.full((4, 7), np.finfo(np.float32).max)
    assert Dataset(**fields(x_train=x, x_test=x[:2], mean=(), std=())).x_train is x


def test_flat_bytes_are_not_images():
    flat = np.zeros((4, 12), np.uint8)
    with pytest.raises(DataError, match=r"images are \(channels, height, width\)"):
        Dataset(**fields(x_train=flat, x_test=flat[:2]))


def test_moments_are_those_of_the_pixels():
    images = np.random.default_rng(0).integers(0, 256, (1500, 2, 3, 3), np.uint8)
    images[:, 1] = 51
    mean, std = moments(images)
    scaled = images[:, 0] / 255
    assert mean == pytest.approx((scaled.mean(), 0.2), rel=1e-12)
    assert std == pytest.approx((scaled.std(), 1.0), rel=1e-12)
