"""Plays in one text, a client for every speaker."""

import os

import numpy as np
import pytest

from hpcfl.data import find_root, load, load_labels
from hpcfl.data.text import encode
from hpcfl.errors import DataError

PLAY = """First Lord:
abcdefghij
klm: no

FOOL:
nopq

First Lord:
rstuvwxyz

Ghost:
uvwxyzabcdefgh

FOOL:
yes
"""
LORD, GHOST = "abcdefghij\nklm: no\nrstuvwxyz\n", "uvwxyzabcdefgh\n"


def where(root, text=PLAY, **params):
    (root / "shakespeare").mkdir(exist_ok=True)
    (root / "shakespeare/input.txt").write_text(text, "utf-8")
    return {"root": root, "params": {"length": 3, "stride": 3, **params}}


def samples(x, y):
    return [(*sequence, label) for sequence, label in zip(x.tolist(), y.tolist())]


def cut(text, starts):
    return [tuple(encode(text[at : at + 4]).tolist()) for at in starts]


def test_the_end_of_each_speaker_s_text_is_for_testing(tmp_path):
    dataset = load("shakespeare", **where(tmp_path, test_share=0.3, min_examples=3))
    # the lord has 29 characters, 9 of them for testing; the ghost 15, of which 4 (4.5 to even); the fool too few
    train = cut(LORD[:20], range(0, 17, 3)) + cut(GHOST[:11], range(0, 8, 3))
    assert samples(dataset.x_train, dataset.y_train) == train
    assert samples(dataset.x_test, dataset.y_test) == cut(LORD[20:], (0, 3)) + cut(GHOST[11:], (0,))
    assert dataset.holders.tolist() == [0] * 6 + [1] * 3
    assert (dataset.tokens, dataset.classes, dataset.x_train.dtype) == (81, 81, np.int64)


def test_stride_1_begins_at_every_character(tmp_path):
    dataset = load("shakespeare", **where(tmp_path, stride=1, test_share=0.3))
    assert samples(dataset.x_train, dataset.y_train)[:17] == cut(LORD[:20], range(17))
    assert dataset.holders.max() == 2


def test_labels_alone(tmp_path):
    dataset, labels = (read("shakespeare", **where(tmp_path)) for read in (load, load_labels))
    assert np.array_equal(labels.y, dataset.y_train)
    assert np.array_equal(labels.holders, dataset.holders)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"length": 80}, "data.length = 80: 0 training and 0 test samples"),
        ({"min_examples": 50}, "data.min_examples = 50 training samples"),
        ({"text": "Once upon a time\n\nthere was a king.\n"}, 'has no speaker; valid is a line "SPEAKER:"'),
    ],
)
def test_what_cannot_be_read(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        load("shakespeare", **where(tmp_path, **changes))


def test_a_text_of_other_bytes(tmp_path):
    given = where(tmp_path)
    (tmp_path / "shakespeare/input.txt").write_bytes(b"KING:\n\xff\xfe\n")
    with pytest.raises(DataError, match="input.txt is not a text in UTF-8"):
        load("shakespeare", **given)


def test_the_real_text():
    root = find_root(None, os.environ)
    if root is None or not (root / "shakespeare/input.txt").is_file():
        pytest.skip(f"Shakespeare is not under HPCFL_DATA ({root})")
    dataset = load("shakespeare", root=root)
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((10_108, 80), (2_437, 80))
    assert dataset.holders.max() + 1 == 227
    first = "Before we proceed any further, hear me speak.\nYou are all resolved rather to die"
    assert dataset.x_train[0].tolist() == encode(first).tolist()
    assert (dataset.x_train > 0).mean() > 0.99999
