"""So many labels per client: the three forms, decks, amounts, and the mistakes in them."""

import numpy as np
import pytest

from hpcfl.data import class_counts, deal
from hpcfl.data.by_label import divide, draw_labels, share
from hpcfl.errors import JobError
from hpcfl.rng import stream

LABELS = np.arange(2000) % 10  # 200 of each


def dealt(labels, clients=10, y=LABELS, seed=0, **more):
    parts = deal("labels", y, clients, stream(seed, "partition"), labels=labels, **more)
    held = np.concatenate(parts)
    assert len(np.unique(held)) == len(held)
    return class_counts(y, parts, 10)


def listed(*hands):
    return {str(client): hand for client, hand in enumerate(hands)}


@pytest.mark.parametrize("shuffle", [{}, {"shuffle": False}, {"shuffle": True}])
@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({"step": 2, "list": [5, 3, 2]}, [1] * 5 + [3] * 3 + [5] * 2),
        ({"step": 9, "list": [0, 10]}, [10] * 10),
        ({"step": 4, "list": [10, 0, 0, 0]}, [1] * 10),
        ({"list": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}, list(range(1, 11))),
    ],
)
def test_numbers_of_labels(given, numbers, shuffle):
    counts = dealt({**given, **shuffle}, amounts={"min": 10, "max": 20})
    assert np.count_nonzero(counts, axis=1).tolist() == numbers
    assert ((counts.sum(1) >= 10) & (counts.sum(1) <= 20)).all()


def test_labels_themselves():
    hands = [[0], [1, 2], [9, 3, 4]]
    counts = dealt(listed(*hands), 3, amounts=[7, 5, 11])
    assert counts[0].tolist() == [7] + [0] * 9
    assert counts[1].tolist() == [0, 2, 3] + [0] * 7  # the remainder goes to the last label
    assert counts[2].tolist() == [0, 0, 0, 3, 5, 0, 0, 0, 0, 3]


@pytest.mark.parametrize("seed", range(10))
def test_every_label_is_used_before_any_is_used_again(seed):
    present = np.array([0, 1, 3, 4, 5, 6, 8])
    numbers = stream(seed, "numbers").integers(1, 8, 40).tolist()
    used = np.zeros(9, int)
    for hand in draw_labels({"list": numbers, "shuffle": True}, 40, present, stream(seed, "labels")):
        assert len(set(hand.tolist())) == len(hand)
        np.add.at(used, hand, 1)
        assert np.ptp(used[present]) <= 1
    assert used.sum() == used[present].sum() == sum(numbers)


def test_without_decks_each_draws_for_itself():
    hands = draw_labels({"list": [3] * 2000}, 2000, np.arange(10), stream(0, "labels"))
    assert all(len(set(hand.tolist())) == 3 for hand in hands)
    used = np.bincount(np.concatenate(hands))
    assert used == pytest.approx(600, abs=5 * np.sqrt(600))
    assert np.ptp(used) > 1


@pytest.mark.parametrize("shuffle", [False, True])
def test_one_seed_one_partition(shuffle):
    given = {"list": [3] * 10, "shuffle": shuffle}
    first, again, other = (dealt(given, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("amounts", [None, {}])
def test_equal_amounts(amounts):
    given = {"list": [2] * 10, "shuffle": True}  # two decks: each label is with two clients, who ask for 100 each
    counts = dealt(given, amounts=amounts)
    assert counts[counts > 0].tolist() == [100] * 20


def test_equal_amounts_share_what_there_is():
    counts = dealt(listed([0], [0], [0, 1]), 3, y=np.array([0] * 90 + [1] * 210))
    # each is to have 100: of label 0, 100 + 100 + 50 are asked, there are 90
    assert counts[:, 0].tolist() == [36, 36, 18]
    assert counts[:, 1].tolist() == [0, 0, 50]


@pytest.mark.parametrize(
    ("asked", "there", "got"),
    [
        ([5, 0, 5], 4, [2, 0, 2]),
        ([5, 0, 5], 3, [1, 0, 1]),  # rounded down: one stays out
        ([1, 1, 98], 10, [1, 1, 8]),  # 9.8 is rounded down, and gives for the ones
        ([3, 3, 3], 2, [0, 1, 1]),  # not one for each
        ([10, 30], 20, [5, 15]),
    ],
)
def test_shares_by_hand(asked, there, got):
    assert share(np.array(asked), there).tolist() == got


def test_division_by_hand():
    hands = [np.array([2]), np.array([1, 0, 2])]
    assert divide(np.array([4, 11]), hands, 3, None).tolist() == [[0, 0, 4], [3, 3, 5]]


def test_labels_without_samples_are_not_dealt():
    y = np.repeat([1, 4, 7], 100)
    counts = dealt({"list": [3] * 10}, y=y)
    assert (counts[:, [1, 4, 7]] == 10).all()
    assert counts.sum() == 300


def test_a_client_keeps_no_more_than_the_limit():
    counts = dealt({"list": [2] * 10, "shuffle": True}, examples_per_client=10)
    assert counts.sum(1).tolist() == [10] * 10
    assert set(counts.ravel()) == {0, 5}


KEY = "partition.labels"
TEN = [[client] for client in range(10)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, f"{KEY} = 5: must be a table: "),
        ([[1]] * 10, f"{KEY} = .*: must be a table: "),
        ({}, f"{KEY}.0: required, but missing, as partition.clients = 10; valid: "),
        ({"step": 2}, f"{KEY}.list: required, but missing; it is a list of whole numbers, 0 or greater throughout"),
        ({"step": 2, "list": [3, 3]}, rf"^{KEY}.list = \[3, 3\]: adds up to 6 clients, but partition.clients = 10$"),
        (
            {"list": [3, 3]},
            rf"{KEY}.list = \[3, 3\]: has 2 numbers, but partition.clients = 10: give one number of labels each, or "
            f"{KEY}.step for numbers of clients",
        ),
        ({"step": 0, "list": [10]}, f"{KEY}.step = 0: must be greater than 0"),
        ({"step": 1.0, "list": [10]}, f"{KEY}.step = 1.0: must be a whole number"),
        ({"step": 1, "list": []}, rf"{KEY}.list = \[\]: must be 0 or greater throughout, and not empty"),
        ({"step": 1, "list": [11, -1]}, rf"{KEY}.list = \[11, -1\]: must be 0 or greater throughout"),
        ({"list": [1.5] * 10}, f"{KEY}.list = .*: must be a list of whole numbers"),
        ({"list": "abc"}, f"{KEY}.list = 'abc': must be a list of whole numbers"),
        ({"list": [11] * 10}, f"{KEY}.list = .*: gives a client 11 labels; valid are 1 to 10, as many as there are"),
        ({"list": [1] * 9 + [0]}, f"{KEY}.list = .*: gives a client 0 labels; valid are 1 to 10"),
        ({"step": 5, "list": [5, 4, 1]}, f"{KEY}.list = .*: gives a client 11 labels"),
        ({"list": [1] * 10, "shuffle": 1}, f"{KEY}.shuffle = 1: must be true or false"),
        ({"list": [1] * 10, "shufle": True}, f"{KEY}.shufle: unknown key; did you mean shuffle"),
        ({"lst": [1] * 10}, f"{KEY}.lst: unknown key, as partition.clients = 10; valid: "),
        (listed(*TEN[:9]), f"{KEY}.9: required, but missing, as partition.clients = 10; valid: "),
        (listed(*TEN, [1]), f"{KEY}.10: unknown key, as partition.clients = 10; valid: "),
        (listed(*TEN[:9], [10]), rf"{KEY}.9 = \[10\]: must be some of the labels .*, 0 to 9, each once"),
        (listed(*TEN[:9], [-1]), rf"{KEY}.9 = \[-1\]: must be some of the labels"),
        (listed(*TEN[:9], [1, 1]), rf"{KEY}.9 = \[1, 1\]: must be some of the labels"),
        (listed(*TEN[:9], []), rf"{KEY}.9 = \[\]: must be some of the labels"),
        (listed(*TEN[:9], 3), f"{KEY}.9 = 3: must be a list of labels"),
        (listed(*TEN[:9], ["cat"]), rf"{KEY}.9 = \['cat'\]: must be a list of labels"),
    ],
)
def test_mistakes_in_labels(given, message):
    with pytest.raises(JobError, match=message):
        dealt(given)


def test_labels_are_required():
    with pytest.raises(JobError, match=f"{KEY}: required, but missing; it is a table: "):
        deal("labels", LABELS, 10, stream(0, "partition"))


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        (
            [150, 30, 42],
            r"partition.amounts = \[150, 30, 42\]: 3 clients ask for 201 samples of label 3, there are 200; ask for "
            "less, give the label to fewer clients, or leave partition.amounts out to share what there is",
        ),
        ([150, 30, 1], r"partition.amounts = \[150, 30, 1\]: client 2 is dealt 1 samples, but has 2 labels"),
        ({"min": 201, "max": 201}, "partition.amounts = .*: 3 clients ask for 502 samples of label 3"),
    ],
)
def test_mistakes_in_amounts(amounts, message):
    with pytest.raises(JobError, match=message):
        dealt(listed([3], [3], [3, 4]), 3, amounts=amounts)


def test_amounts_that_just_fit():
    assert dealt(listed([3], [3], [3, 4]), 3, amounts=[150, 30, 40])[:, 3].tolist() == [150, 30, 20]


def test_fewer_samples_than_labels():
    with pytest.raises(JobError, match="partition.amounts: client 0 is dealt 6 samples, but has 7 labels"):
        dealt({"list": [7] * 300}, 300)
