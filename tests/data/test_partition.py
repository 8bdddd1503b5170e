"""What every partition promises, and what each promises beyond."""

import numpy as np
import pytest

from hpcfl.data import PARTITIONS, class_counts, deal, owners
from hpcfl.data.sample import stratified
from hpcfl.errors import JobError
from hpcfl.rng import stream

# The partitions that deal all samples to any number of clients; the others have tests of their own.
PARAMS = {
    "iid": {},
    "dirichlet": {"beta": 0.5},
    "cluster_dirichlet": {"beta": 0.5, "clusters": 2},
    "shards": {"shards_per_client": 2},
}
OTHERS = ("pachinko", "labels", "natural", "file")
LABELS = stream(0, "labels").integers(0, 10, 1437)  # as many as the digits


def test_every_partition_keeps_the_contract():
    assert {*PARAMS, *OTHERS} == set(PARTITIONS)


@pytest.fixture(params=PARAMS)
def name(request):
    return request.param


@pytest.mark.parametrize("clients", [1, 2, 7, 100, 500])
def test_disjoint_complete_and_nobody_empty(name, clients):
    parts = deal(name, LABELS, clients, stream(3, "partition"), **PARAMS[name])
    assert len(parts) == clients
    assert all(part.dtype == np.int64 and part.ndim == 1 and len(part) for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))


def test_one_seed_one_partition(name):
    first, again, other = (deal(name, LABELS, 20, stream(seed, "partition"), **PARAMS[name]) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_labels_are_left_alone(name):
    labels = LABELS.copy()
    deal(name, labels, 20, stream(1, "partition"), **PARAMS[name])
    assert np.array_equal(labels, LABELS)


def test_the_least_there_can_be(name):
    labels = np.array([0, 1, 1, 0, 2, 2, 2, 2])
    least = {"shards": {"shards_per_client": 1}, "cluster_dirichlet": {"clusters": 1}}
    params = {**PARAMS[name], **least.get(name, {})}
    assert sorted(map(len, deal(name, labels, 8, stream(0, "partition"), **params))) == [1] * 8
    assert deal(name, np.array([0]), 1, stream(0, "partition"), **params)[0].tolist() == [0]


def test_a_class_without_samples(name):
    parts = deal(name, np.array([0, 3] * 20), 5, stream(0, "partition"), **PARAMS[name])
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(40))


@pytest.mark.parametrize("limit", [1, 3, 14])
def test_examples_per_client(name, limit):
    whole = deal(name, LABELS, 100, stream(1, "partition"), **PARAMS[name])
    parts = deal(name, LABELS, 100, stream(1, "partition"), **PARAMS[name], examples_per_client=limit)
    for part, full in zip(parts, whole):
        assert len(part) == min(limit, len(full))
        assert len(set(part.tolist()) & set(full.tolist())) == len(part)
        assert (np.diff(part) > 0).all()
        expected = np.bincount(LABELS[full], minlength=10) * len(part) / len(full)
        assert np.abs(np.bincount(LABELS[part], minlength=10) - expected).max() < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clients": 0}, "partition.clients = 0: must be greater than 0"),
        ({"clients": -3}, "partition.clients = -3: must be greater than 0"),
        ({"clients": 2.0}, "partition.clients = 2.0: must be a whole number"),
        ({"clients": 1438}, "partition.clients = 1438: there are only 1,437 training samples"),
        ({"examples_per_client": 0}, "partition.examples_per_client = 0: must be greater than 0"),
        ({"examples_per_client": "5"}, "partition.examples_per_client = '5': must be a whole number"),
        (
            {"examples_per_client": 72},
            "partition.examples_per_client = 72: 20 clients would need 1,440 training samples, there are 1,437; "
            "at most 71 each",
        ),
        ({"examples_per_clients": 5}, "partition.examples_per_clients: unknown key; did you mean examples_per_client"),
        ({"labels": 5}, "partition.labels: unknown key"),
    ],
)
def test_mistakes_that_any_partition_finds(name, changes, message):
    given = {"clients": 20, **PARAMS[name], **changes}
    with pytest.raises(JobError, match=message):
        deal(name, LABELS, given.pop("clients"), stream(0, "partition"), **given)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("dirichlet", {}, "partition.beta: required, but missing; it is a finite number, greater than 0"),
        ("dirichlet", {"beta": -1}, "^partition.beta = -1: must be greater than 0$"),
        ("dirichlet", {"beta": 0.0}, "partition.beta = 0.0: must be greater than 0"),
        ("dirichlet", {"beta": "0.5"}, "partition.beta = '0.5': must be a finite number"),
        ("dirichlet", {"beta": True}, "partition.beta = True: must be a finite number"),
        ("dirichlet", {"beta": float("nan")}, "partition.beta = nan: must be a finite number"),
        ("dirichlet", {"betta": 1}, "partition.betta: unknown key; did you mean beta"),
        ("dirichlet", {"beta": 1, "min_examples": 0}, "partition.min_examples = 0: must be greater than 0"),
        (
            "dirichlet",
            {"beta": 1, "min_examples": 72},
            "partition.min_examples = 72: 20 clients would need 1,440 training samples, there are 1,437; at most 71",
        ),
        (
            "dirichlet",
            {"beta": 1, "min_examples": 5, "examples_per_client": 4},
            "partition.examples_per_client = 4: must not be less than partition.min_examples = 5",
        ),
        ("iid", {"beta": 1}, "partition.beta: unknown key; valid: amounts, examples_per_client"),
        ("shards", {"shards_per_client": 0}, "partition.shards_per_client = 0: must be greater than 0"),
        ("shards", {"shards_per_client": 1.5}, "partition.shards_per_client = 1.5: must be a whole number"),
        (
            "shards",
            {"shards_per_client": 72},
            "partition.shards_per_client = 72: 20 clients would need 1,440 shards .* 1,437 .*at most 71 each",
        ),
        ("diriclet", {}, "partition.name = 'diriclet': unknown name; did you mean dirichlet"),
    ],
)
def test_mistakes(name, params, message):
    with pytest.raises(JobError, match=message):
        deal(name, LABELS, 20, stream(0, "partition"), **params)


@pytest.mark.parametrize("clients", [3, 10, 100])
def test_iid_deals_every_class_evenly(clients):
    counts = class_counts(LABELS, deal("iid", LABELS, clients, stream(0, "partition")), 10)
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 1


def test_iid_of_limited_size_is_exact():
    labels = np.arange(6000) % 10
    parts = deal("iid", labels, 100, stream(0, "partition"), examples_per_client=20)
    assert np.array_equal(class_counts(labels, parts, 10), np.full((100, 10), 2))


def test_dirichlet_approaches_iid_and_one_class():
    labels = np.arange(20_000) % 10
    wide, narrow = (
        class_counts(labels, deal("dirichlet", labels, 10, stream(0, "partition"), beta=beta), 10)
        for beta in (1e6, 1e-3)
    )
    assert np.abs(wide - 200).max() <= 3
    assert (narrow.max(0) > 1900).all()  # nearly all of a class is with one client


def test_dirichlet_shares_have_the_variance_of_their_law():
    # Var of one share of Dir(beta) over n clients: (n - 1) / (n^2 (n beta + 1)).
    labels = np.repeat(np.arange(400), 100)
    counts = class_counts(labels, deal("dirichlet", labels, 5, stream(0, "partition"), beta=0.7), 400)
    assert (counts / 100).var() == pytest.approx(4 / (25 * 4.5), rel=0.1)


@pytest.mark.parametrize("beta", [1e-300, 1e-3, 0.05, 0.5])
@pytest.mark.parametrize("least", [1, 5, 14])
def test_dirichlet_leaves_nobody_short(beta, least):
    parts = deal("dirichlet", LABELS, 100, stream(5, "partition"), beta=beta, min_examples=least)
    assert min(map(len, parts)) >= least
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))


def test_filling_up_moves_no_more_than_it_must():
    parts = deal("dirichlet", LABELS, 100, stream(5, "partition"), beta=1e-3, min_examples=1)
    counts = class_counts(LABELS, parts, 10)
    assert (counts.sum(1) == 1).sum() > 75  # those who were filled up hold a single sample
    assert (np.sort(counts, axis=0)[-4:].sum(0) > 0.7 * counts.sum(0)).all()  # the classes are where they were dealt


@pytest.mark.parametrize("per_client", [1, 2, 5])
def test_shards_hold_few_classes(per_client):
    labels = stream(0, "labels").permutation(np.repeat(np.arange(10), 600))
    parts = deal("shards", labels, 50, stream(0, "partition"), shards_per_client=per_client)
    counts = class_counts(labels, parts, 10)
    assert set(counts.sum(1)) == {120}
    assert (np.count_nonzero(counts, axis=1) <= per_client).all()  # 600 is a multiple of the shard's size


def test_shards_of_uneven_size_differ_by_one_sample_each():
    sizes = [len(part) for part in deal("shards", LABELS, 20, stream(0, "partition"), shards_per_client=3)]
    assert max(sizes) - min(sizes) <= 3
    assert sum(sizes) == len(LABELS)


def test_class_counts_by_hand():
    counts = class_counts(np.array([2, 0, 0, 1, 2]), [np.array([0, 1]), np.array([2, 4]), np.array([3])], 4)
    assert counts.tolist() == [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 0]]
    assert counts.dtype == np.int64


@pytest.mark.parametrize("count", [1, 2, 9, 10, 33, 100])
def test_stratified_counts(count):
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    for seed in range(20):
        chosen = stratified(labels, count, stream(seed, "sample"))
        assert len(np.unique(chosen)) == count
        assert np.abs(np.bincount(labels[chosen], minlength=3) - count * np.array([0.7, 0.2, 0.1])).max() < 1


def test_stratified_favours_nobody():
    labels = np.arange(40) % 4
    hits = np.zeros(40)
    for seed in range(4000):
        hits[stratified(labels, 3, stream(seed, "sample"))] += 1
    assert hits == pytest.approx(300, abs=5 * np.sqrt(300))


HOLDERS = stream(1, "holders").integers(0, 30, len(LABELS))


def test_every_natural_holder_is_a_client():
    parts = deal("natural", LABELS, None, stream(0, "partition"), HOLDERS)
    assert len(parts) == 30
    assert all((HOLDERS[part] == holder).all() for holder, part in enumerate(parts))
    assert sum(map(len, parts)) == len(LABELS)


def test_some_of_the_natural_holders_drawn_by_the_seed():
    def drawn(seed, clients=8):
        parts = deal("natural", LABELS, clients, stream(seed, "partition"), HOLDERS)
        assert all(len(part) == np.isin(HOLDERS, HOLDERS[part[0]]).sum() for part in parts)
        return [int(HOLDERS[part[0]]) for part in parts]

    assert drawn(1) == drawn(1) == sorted(set(drawn(1)))
    assert len(drawn(1)) == 8
    assert drawn(1) != drawn(2)
    assert drawn(1, 30) == list(range(30))


def test_holders_with_few_samples_are_left_out():
    sizes = np.bincount(HOLDERS)
    parts = deal("natural", LABELS, None, stream(0, "partition"), HOLDERS, min_examples=50)
    assert [len(part) for part in parts] == sizes[sizes >= 50].tolist()
    assert len(deal("natural", LABELS, 3, stream(0, "partition"), HOLDERS, min_examples=50)) == 3


@pytest.mark.parametrize("clients", [None, 30])
def test_a_limit_need_not_hold_for_every_holder(clients):
    parts = deal("natural", LABELS, clients, stream(0, "partition"), HOLDERS, examples_per_client=50)
    assert [len(part) for part in parts] == np.minimum(np.bincount(HOLDERS), 50).tolist()


@pytest.mark.parametrize(
    ("clients", "holders", "params", "message"),
    [
        (
            None, None, {},
            "partition.name = 'natural': this dataset does not say whom its samples come from; it can be dealt by iid, "
            "dirichlet, cluster_dirichlet, pachinko, shards, labels, file, and an .npz or a function of yours can give "
            "`holders`",
        ),
        (31, HOLDERS, {}, "partition.clients = 31: there are 30 natural holders with at least 1 training samples"),
        (1438, HOLDERS, {}, "partition.clients = 1438: there are only 1,437 training samples"),
        (0, HOLDERS, {}, "partition.clients = 0: must be greater than 0"),
        (None, HOLDERS, {"min_examples": 99}, "partition.min_examples = 99: no holder has that many; the largest has "),
        (None, HOLDERS, {"min_examples": 0}, "partition.min_examples = 0: must be greater than 0"),
        (None, HOLDERS, {"holders": [1]}, "partition.holders: unknown key; valid: examples_per_client, min_examples"),
    ],
)  # fmt: skip
def test_mistakes_about_holders(clients, holders, params, message):
    with pytest.raises(JobError, match=message):
        deal("natural", LABELS, clients, stream(0, "partition"), holders, **params)


def test_owners_by_hand():
    assert owners([np.array([0, 3]), np.array([4])], 6).tolist() == [0, -1, -1, 0, 1, -1]


MODULE = """
import numpy as np

def halves(labels, clients, rng, *, start: int = 0):
    owner = np.full(len(labels), -1)
    owner[start : start + 2 * clients] = np.repeat(np.arange(clients), 2)
    return owner

def pairs(labels, clients, rng, holders, *, first: int = 0):
    return (holders + first) // 2 % clients

def short(labels, clients, rng):
    return np.zeros(3, int)

def stranger(labels, clients, rng):
    return np.full(len(labels), clients)

def selfish(labels, clients, rng):
    return np.zeros(len(labels), int)

def broken(labels, clients, rng):
    return labels / {}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_partition.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_of_ones_own_may_leave_samples_out(module):
    parts = deal("own_partition.halves", LABELS, 3, stream(0, "partition"), start=4)
    assert [part.tolist() for part in parts] == [[4, 5], [6, 7], [8, 9]]


def test_a_function_of_ones_own_may_ask_for_holders(module):
    parts = deal("own_partition.pairs", LABELS, 5, stream(0, "partition"), HOLDERS, first=2)
    assert all(set((HOLDERS[part] + 2) // 2 % 5) == {client} for client, part in enumerate(parts))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("halves", {"strat": 1}, "partition.strat: unknown key; did you mean start"),
        ("short", {}, r"returned int64 \(3,\); valid is one whole number for each of the 1,437 samples"),
        ("stranger", {}, r"the client that holds it \(0 to 6\) or -1"),
        ("selfish", {}, r"leaves 6 of 7 clients without samples \(1, 2, 3, 4, 5, ...\)"),
        ("broken", {}, "partition.name = 'own_partition.broken': failed: TypeError: unsupported operand"),
        ("pairs", {"holders": 1}, "partition.holders: unknown key; valid: examples_per_client, first"),
        ("missing", {}, "module own_partition has no function 'missing'"),
    ],
)
def test_mistakes_of_ones_own_function(module, name, params, message):
    with pytest.raises(JobError, match=message):
        deal(f"own_partition.{name}", LABELS, 7, stream(0, "partition"), **params)


def test_cluster_dirichlet_shares_out_groups_of_classes():
    labels = np.repeat(np.arange(10), 3000)
    parts = deal("cluster_dirichlet", labels, 6, stream(0, "partition"), beta=0.4, clusters=3)
    shares = class_counts(labels, parts, 10) / 3000
    distances = np.abs(shares[:, :, None] - shares[:, None]).max(0)
    groups = {tuple(np.flatnonzero(row < 0.05)) for row in distances}  # classes that everybody has alike
    assert sorted(map(len, groups)) == [3, 3, 4]
    assert sorted(label for group in groups for label in group) == list(range(10))


def test_more_clusters_than_classes():
    with pytest.raises(JobError, match=r"partition.clusters = 11: more than the 10 classes"):
        deal("cluster_dirichlet", LABELS, 6, stream(0, "partition"), beta=0.4, clusters=11)
