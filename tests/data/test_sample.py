"""What is held out for testing."""

import numpy as np
import pytest

from hpcfl.data.sample import held_out, numbered
from hpcfl.rng import stream

GROUPS = np.array([5] * 10 + [0] * 4 + [2] + [5] * 10)
LABELS = np.arange(25) % 2


@pytest.mark.parametrize(
    "share, counts", [(0.2, {0: 1, 2: 0, 5: 4}), (0.5, {0: 2, 2: 0, 5: 10}), (0.99, {0: 3, 5: 19})]
)
def test_every_group_has_its_share_and_keeps_one(share, counts):
    test = held_out(LABELS, GROUPS, share, stream(0, "x"))
    assert {group: int(test[group == GROUPS].sum()) for group in counts} == counts


def test_labels_have_their_share_in_every_group():
    test = held_out(LABELS, GROUPS, 0.4, stream(0, "x"))
    assert np.bincount(LABELS[test & (GROUPS == 5)]).tolist() == [4, 4]
    assert np.array_equal(test, held_out(LABELS, GROUPS, 0.4, stream(0, "x")))


def test_holders_are_numbered_in_order():
    assert numbered(np.array(["b", "a", "d", "b"])).tolist() == [1, 0, 2, 1]
    assert numbered(np.array([7, 3])).dtype == np.int64
