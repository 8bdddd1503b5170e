"""Pachinko: few kinds of classes per client, and of a kind all classes."""

import numpy as np
import pytest

from hpcfl.data import class_counts, deal
from hpcfl.data.cifar import CIFAR100, CIFAR100_COARSE, COARSE_OF
from hpcfl.errors import JobError
from hpcfl.rng import stream

LABELS = np.repeat(np.arange(100), 50)


def dealt(labels=LABELS, clients=20, seed=0, **params):
    return deal("pachinko", labels, clients, stream(seed, "partition"), **params)


def test_coarse_classes_are_cifar_100_s():
    assert np.bincount(COARSE_OF).tolist() == [5] * 20
    known = {
        "aquatic_mammals": "beaver dolphin otter seal whale",
        "insects": "bee beetle butterfly caterpillar cockroach",
        "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
        "vehicles_2": "lawn_mower rocket streetcar tank tractor",
    }
    for kind, classes in known.items():
        place = CIFAR100_COARSE.index(kind)
        assert [name for name, of in zip(CIFAR100, COARSE_OF) if of == place] == classes.split()


@pytest.mark.parametrize("clients", [1, 7, 20, 500])
def test_equal_shares_and_no_sample_twice(clients):
    parts = dealt(clients=clients)
    assert {len(part) for part in parts} == {5000 // clients}
    assert len(np.unique(np.concatenate(parts))) == 5000 // clients * clients


def test_a_client_has_few_kinds_and_of_these_all_classes():
    counts = class_counts(LABELS, dealt(clients=20, alpha=0.1, beta=100.0), 100)[:5]  # later ones take what is left
    kinds = np.stack([counts[:, np.array(COARSE_OF) == kind].sum(1) for kind in range(20)], 1)
    assert (np.sort(kinds, 1)[:, -5:].sum(1) > 0.8 * 250).all()
    for client, row in enumerate(kinds):
        inside = counts[client, np.array(COARSE_OF) == row.argmax()]
        assert inside.min() > 0


def test_one_seed_one_partition():
    first, again, other = dealt(seed=1), dealt(seed=1), dealt(seed=2)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_kinds_of_other_data():
    labels = np.arange(400) % 4
    counts = class_counts(labels, dealt(labels, 4, alpha=0.01, beta=10.0, kinds=[0, 0, 1, 1]), 4)
    assert counts.sum(1).tolist() == [100] * 4
    assert counts[0].reshape(2, 2).sum(1).max() > 95


@pytest.mark.parametrize(
    ("labels", "params", "message"),
    [
        (np.arange(40) % 4, {}, r"partition.kinds: needed for 4 classes"),
        (np.arange(40) % 4, {"kinds": [0, 1]}, r"partition.kinds: 2 kinds, but the labels go to 3"),
        (LABELS, {"alpha": 0}, r"partition.alpha = 0: must be greater than 0"),
        (LABELS, {"kinds": "coarse"}, r"partition.kinds = 'coarse': must be a list of whole numbers"),
    ],
)
def test_mistakes_are_one_message(labels, params, message):
    with pytest.raises(JobError, match=message):
        dealt(labels, 4, **params)
