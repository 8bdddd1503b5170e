"""Tables of numbers, and standardised signals."""

import numpy as np
import pytest

from hpcfl.data.signals import read_table, standardise
from hpcfl.errors import DataError


def test_a_table_and_some_of_its_columns(tmp_path):
    (tmp_path / "t.txt").write_text("  1.5e+000 2 NaN\n4  5   6\n")
    table = read_table(tmp_path / "t.txt", 3)
    assert table.dtype == np.float32
    assert np.array_equal(table, [[1.5, 2, np.nan], [4, 5, 6]], equal_nan=True)
    assert read_table(tmp_path / "t.txt", 2, (0, 1)).tolist() == [[1.5, 2], [4, 5]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 2\n3\n", "is damaged: .*row 2"),
        ("1 2\n3 #\n", "is damaged: could not convert string '#' to float32 at row 1"),
        ("1 2 3\n", "has 1 lines of 3 numbers; valid are lines of 2"),
        ("", "has 0 lines"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_table(tmp_path, text, message):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(DataError, match=f"{tmp_path}/t.txt {message}"):
        read_table(tmp_path / "t.txt", 2)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="t.txt is missing"):
        read_table(tmp_path / "t.txt", 2)


def test_training_samples_have_mean_0_and_deviation_1_per_channel():
    x = np.random.default_rng(0).normal([[3.0], [-1.0]], [[2.0], [0.5]], (500, 2, 8)).astype(np.float32)
    x[:, 0, :4] += 1
    train, test = standardise(x[:400].copy(), x[400:].copy())
    assert train.mean((0, 2)) == pytest.approx([0, 0], abs=1e-5)
    assert train.std((0, 2)) == pytest.approx([1, 1], abs=1e-5)
    mean, deviation = x[:400, 1].mean(), x[:400, 1].std()
    assert test[:, 1] == pytest.approx((x[400:, 1] - mean) / deviation, abs=1e-5)


def test_a_constant_channel_becomes_zero():
    train, test = standardise(np.full((3, 1, 2), 7, np.float32), np.full((1, 1, 2), 8, np.float32))
    assert (train.max(), test.max()) == (0, 1)
