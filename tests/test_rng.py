"""Addressed randomness: the address decides, whole and alone."""

import numpy as np

from hpcfl.rng import seed64, stream

ADDRESSES = [
    (0,),
    (1,),
    (0, "client"),
    (0, "client", 1),
    (0, "client", 12),
    (0, "client", 1, 2),
    (0, "client", 2, 1),
    (0, "client", "1", 2),
    (0, "client", "12"),
    (0, 1, "client"),
    (0, "1"),
    (0, 1),
    (0, ""),
    (0, -1),
    (10, "client"),
]


def test_addresses_differ_by_type_order_and_length():
    assert len({seed64(*address) for address in ADDRESSES}) == len(ADDRESSES)
    assert len({stream(*address).random() for address in ADDRESSES}) == len(ADDRESSES)


def test_numpy_integers_are_integers():
    for kind in (np.int64, np.int32, np.uint8):
        assert seed64(kind(3), "client", kind(7)) == seed64(3, "client", 7)


def test_a_stream_does_not_depend_on_what_was_drawn_elsewhere():
    alone = {address: stream(*address).random(5).tolist() for address in ADDRESSES}
    for address in reversed(ADDRESSES):
        assert stream(*address).random(5).tolist() == alone[address]


def test_the_numbers_stay_the_same_in_later_versions():
    """A change here changes the result of every job ever run."""
    assert seed64(0, "client", 3, "batches") == 2130609103058625311
    assert stream(0, "client", 3).integers(0, 1000, 4).tolist() == [773, 41, 827, 751]


def test_seeds_fit_torch_and_hdf5():
    seeds = [seed64(0, "range", number) for number in range(2000)]
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63
