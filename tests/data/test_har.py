"""UCI HAR, in the layout of its release and in the compact file."""

import os

import numpy as np
import pytest

from hpcfl.data import find_root, load, load_labels
from hpcfl.data.har import COMPACT, SIGNALS, TEST_SUBJECTS
from hpcfl.errors import DataError, JobError

SUBJECTS = np.repeat([1, 2, 3, 4], 12)
Y = np.arange(48) % 6
TESTED = np.isin(SUBJECTS, TEST_SUBJECTS)


def windows():
    """(48, 9, 128) signals whose total acceleration is the body's and one g of gravity."""
    x = np.random.default_rng(0).normal(0, 0.5, (48, 9, 128)).astype(np.float32)
    x[:, 6:] = x[:, :3] + np.array([0.9, 0.1, 0.4], np.float32)[:, None]
    return x.astype(np.float16).astype(np.float32)


@pytest.fixture
def release(tmp_path):
    """The text files as UCI distributes them, two subjects for training and two for testing."""
    folder = tmp_path / "UCI HAR Dataset"
    for part, chosen in (("train", ~TESTED), ("test", TESTED)):
        (folder / part / "Inertial Signals").mkdir(parents=True)
        np.savetxt(folder / part / f"y_{part}.txt", Y[chosen] + 1, "%d")
        np.savetxt(folder / part / f"subject_{part}.txt", SUBJECTS[chosen], "%d")
        for at, signal in enumerate(SIGNALS):
            file = folder / part / "Inertial Signals" / f"{signal}_{part}.txt"
            np.savetxt(file, windows()[chosen, at], " %.7e")
    return tmp_path


def compact(tmp_path, x):
    (tmp_path / "uci_har").mkdir(parents=True)
    np.savez(tmp_path / "uci_har" / COMPACT, x=x, y=Y.astype(np.uint8), subject=SUBJECTS.astype(np.uint8))
    return tmp_path


def test_the_official_split(release):
    dataset = load("uci_har", root=release, params={"split": "official"})
    x = windows().astype(np.float64)
    mean, std = x[~TESTED].mean((0, 2)), x[~TESTED].std((0, 2))
    expected = (x - mean[:, None]) / std[:, None]
    assert dataset.x_train == pytest.approx(expected[~TESTED], abs=1e-4)
    assert dataset.x_test == pytest.approx(expected[TESTED], abs=1e-4)
    assert dataset.y_test.tolist() == Y[TESTED].tolist()
    assert dataset.holders.tolist() == [0] * 12 + [1] * 12
    assert dataset.labels[0] == "walking"


def test_by_default_all_subjects_train_and_are_tested(release):
    dataset = load("uci_har", root=release)
    assert np.bincount(dataset.holders).tolist() == [10] * 4
    assert (len(dataset.y_test), dataset.shape) == (8, (9, 128))
    assert np.bincount(load("uci_har", root=release, params={"test_share": 0.5}).y_test).tolist() == [4] * 6


@pytest.mark.parametrize("params", [{}, {"split": "official"}, {"test_share": 0.5}])
def test_labels_alone(release, params):
    dataset, labels = load("uci_har", root=release, params=params), load_labels("uci_har", root=release, params=params)
    assert np.array_equal(labels.y, dataset.y_train)
    assert np.array_equal(labels.holders, dataset.holders)


@pytest.mark.parametrize("woven", [False, True])
def test_the_compact_file_holds_the_same_in_either_order(release, tmp_path, woven):
    x = windows().astype(np.float16)
    if woven:
        x = x.transpose(0, 2, 1).reshape(48, 9, 128)
    root = compact(tmp_path / "other", x)
    ours = load("uci_har", root=root, params={"split": "official"})
    theirs = load("uci_har", root=release, params={"split": "official"})
    assert ours.x_train == pytest.approx(theirs.x_train, abs=1e-4)
    assert ours.y_test.tolist() == theirs.y_test.tolist()
    assert load_labels("uci_har", root=root).holders.tolist() == load("uci_har", root=root).holders.tolist()


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("train/y_train.txt", "7\n" * 24, "is not UCI HAR: it has the labels 0, 1, 2, 3, 4, 5, 6 in"),
        ("train/y_train.txt", "1\n" * 23, r"is not UCI HAR: .* in \(47,\), and subjects in \(48,\)"),
        ("test/Inertial Signals/body_acc_x_test.txt", "1 2\n", "has 1 lines of 2 numbers; valid are lines of 128"),
        ("test/subject_test.txt", "one\n", "is damaged: could not convert"),
    ],
)
def test_damaged_files(release, name, text, message):
    (release / "UCI HAR Dataset" / name).write_text(text)
    with pytest.raises(DataError, match=f"data.name = 'uci_har': {release}.*{message}"):
        load("uci_har", root=release)


def test_a_damaged_compact_file(tmp_path):
    compact(tmp_path, windows())
    (tmp_path / "uci_har" / COMPACT).write_bytes(b"no zip")
    with pytest.raises(DataError, match=f"{COMPACT} is not a readable .npz with x, y and subject"):
        load("uci_har", root=tmp_path)


def test_a_missing_signal(release):
    (release / "UCI HAR Dataset/train/Inertial Signals/body_acc_x_train.txt").unlink()
    with pytest.raises(DataError, match="body_acc_x_train.txt is missing"):
        load("uci_har", root=release)


def test_mistakes_in_the_job(release):
    with pytest.raises(JobError, match="data.split = 'none': must be one of subjects, official"):
        load("uci_har", root=release, params={"split": "none"})


def test_the_real_windows():
    root = find_root(None, os.environ)
    if root is None or not (root / "uci_har" / COMPACT).is_file():
        pytest.skip(f"UCI HAR is not under HPCFL_DATA ({root})")
    dataset = load("uci_har", root=root, params={"split": "official"})
    assert (len(dataset.y_train), len(dataset.y_test), dataset.holders.max() + 1) == (7352, 2947, 21)
    everyone = load("uci_har", root=root)
    assert len(everyone.y_train) + len(everyone.y_test) == 10_299
    assert everyone.holders.max() + 1 == 30
    # most windows have another that begins in their middle: proof that the signals lie as they should
    x = dataset.x_train[(dataset.holders == 0) & (dataset.y_train == 0)]
    apart = np.abs(x[:, None, :, 64:] - x[None, :, :, :64]).max((2, 3)).min(1)
    assert np.median(apart) == 0
