"""PAMAP2, from files written in the format of its release."""

import numpy as np
import pytest

from hpcfl.data import load, load_labels
from hpcfl.data.pamap2 import ACTIVITIES, CHANNELS
from hpcfl.errors import DataError

SMALL = {"window": 10, "step": 5}


def record(activities, seed=0):
    """(instants, 54) as a sensor would: the time, the activity, a heart rate that is mostly missing, three units."""
    table = np.random.default_rng(seed).normal(0, 1, (len(activities), 54)).round(4)
    table[:, 0] = 8.38 + np.arange(len(activities)) / 100
    table[:, 1] = activities
    table[np.arange(len(table)) % 11 > 0, 2] = np.nan
    return table


def place(root, *tables, first=1):
    folder = root / "PAMAP2_Dataset/Protocol"
    folder.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(tables, first):
        with (folder / f"subject10{number}.dat").open("w") as file:
            for row in table:
                file.write(" ".join("NaN" if np.isnan(value) else f"{value:g}" for value in row) + "\n")
    return {"root": root, "params": SMALL}


def bouts(*pairs):
    return np.repeat([activity for activity, _ in pairs], [length for _, length in pairs])


def test_windows_lie_within_bouts_and_test_windows_at_their_end(tmp_path):
    table = record(bouts((0, 7), (4, 60), (0, 3), (24, 30), (4, 12)))
    dataset = load("pamap2", **place(tmp_path, table))
    # walking: 11 windows of which 2 are held out, from instant 45 on, so that the 9th, at 40, falls away
    # jumping: 5 windows, of which 1 is held out, at 20, and the 4th, at 15, falls away; the last bout has one window
    assert dataset.y_train.tolist() == [3] * 8 + [11] * 3 + [3]
    assert dataset.y_test.tolist() == [3] * 2 + [11]
    signals = table[:, CHANNELS].astype(np.float32).T
    starts = [7 + 5 * at for at in range(8)] + [70 + 5 * at for at in range(3)] + [100]
    raw = np.stack([signals[:, at : at + 10] for at in starts])
    mean, std = raw.mean((0, 2))[:, None], raw.std((0, 2))[:, None]
    assert dataset.x_train == pytest.approx((raw - mean) / std, abs=1e-4)
    tests = np.stack([signals[:, at : at + 10] for at in (7 + 45, 7 + 50, 70 + 20)])
    assert dataset.x_test == pytest.approx((tests - mean) / std, abs=1e-4)
    assert (dataset.labels, dataset.classes, dataset.shape) == (tuple(ACTIVITIES.values()), 12, (27, 10))


def test_no_instant_is_in_training_and_test(tmp_path):
    table = record(bouts((1, 97), (5, 61), (17, 83)))
    table[:, 4] = np.arange(len(table))  # the first channel says which instant it is
    dataset = load("pamap2", **place(tmp_path, table))
    scale = dataset.x_train[0, 0, 1] - dataset.x_train[0, 0, 0]
    train, test = ({*np.round(x[:, 0] / scale).ravel()} for x in (dataset.x_train, dataset.x_test))
    assert not train & test


def test_missing_values_lie_on_the_line_between_their_neighbours(tmp_path):
    table = record(bouts((1, 60)))
    table[:, CHANNELS[0]] = np.arange(60.0) ** 2
    table[20:24, CHANNELS[0]] = np.nan
    table[:2, CHANNELS[1]] = np.nan
    dataset = load("pamap2", **place(tmp_path, table))
    squares = np.arange(60.0) ** 2
    squares[20:24] = 19**2 + (24**2 - 19**2) * np.arange(1, 5) / 5
    got = dataset.x_train[4, 0]  # from instant 20
    expected = squares[20:30]
    assert (got - got[0]) / (got[-1] - got[0]) == pytest.approx((expected - expected[0]) / (expected[-1] - expected[0]))
    assert np.ptp(dataset.x_train[0, 1, :3]) == 0


def test_subjects_are_the_holders(tmp_path):
    given = place(tmp_path, *(record(bouts((1, 60), (2, 60)), seed) for seed in (1, 2)))
    place(tmp_path, record(bouts((0, 50))), first=5)  # did nothing of the protocol
    place(tmp_path, record(bouts((3, 40))), first=9)
    dataset, labels = load("pamap2", **given), load_labels("pamap2", **given)
    assert np.bincount(dataset.holders).tolist() == [16, 16, 5]
    assert np.array_equal(labels.holders, dataset.holders)
    assert np.array_equal(labels.y, dataset.y_train)


def test_the_default_is_171_instants_every_85(tmp_path):
    where = place(tmp_path, record(bouts((1, 1021))))
    dataset = load("pamap2", root=where["root"])
    assert (dataset.shape, len(dataset.x_train), len(dataset.x_test)) == ((27, 171), 7, 2)


@pytest.mark.parametrize(
    "table, message",
    [
        (record(bouts((1, 5))), "data.window = 10: gives 0 training and 0 test windows"),
        (record(bouts((1, 12))), "data.window = 10: gives 1 training and 0 test windows"),
        (record(bouts((1, 60), (9, 5))), "subject101.dat is not of PAMAP2's protocol: activity 9"),
        (record(bouts((1, 60)))[:, :40], "subject101.dat is damaged: invalid column index"),
        (record(bouts((1, 60))) * np.where(np.arange(54) == 22, np.nan, 1), "has no value at all in column 23"),
    ],
)
def test_what_is_not_pamap2(tmp_path, table, message):
    with pytest.raises(DataError, match=message):
        load("pamap2", **place(tmp_path, table))
