"""Numbers of samples per client: every form, the laws they follow, and the mistakes in them."""

import numpy as np
import pytest

from hpcfl.data import class_counts, deal
from hpcfl.data.amounts import draw_amounts, spread
from hpcfl.errors import JobError
from hpcfl.rng import stream

LABELS = stream(0, "labels").choice(10, 1437, p=np.arange(1, 11) / 55)


def drawn(given, clients=20_000, seed=0):
    return draw_amounts(given, clients, stream(seed, "amounts"))


def test_a_list_is_taken_as_it_is():
    assert drawn([3, 1, 2], 3).tolist() == [3, 1, 2]


@pytest.mark.parametrize("name", [{}, {"name": "uniform"}])
def test_a_range_is_uniform_and_has_both_ends(name):
    counts = np.bincount(drawn({"min": 3, "max": 7, **name}))
    assert counts[:3].tolist() == [0, 0, 0]
    assert counts[3:] == pytest.approx(4000, abs=5 * np.sqrt(4000))
    assert len(counts) == 8


def test_lognormal_has_the_mean_and_the_spread_that_were_asked_for():
    amounts = drawn({"name": "lognormal", "mean": 1000, "sigma": 0.5})
    assert amounts.mean() == pytest.approx(1000, rel=0.02)
    assert np.log(amounts).std() == pytest.approx(0.5, rel=0.02)
    assert np.median(amounts) == pytest.approx(1000 * np.exp(-0.125), rel=0.02)
    assert drawn({"name": "lognormal", "mean": 12.0, "sigma": 0}, 3).tolist() == [12, 12, 12]


def test_lognormal_is_clipped():
    amounts = drawn({"name": "lognormal", "mean": 100, "sigma": 1.0, "min": 50, "max": 200})
    assert (amounts.min(), amounts.max()) == (50, 200)
    assert (amounts == 50).mean() == pytest.approx(0.42, abs=0.02)  # Phi((ln 50 - ln 100 + 1/2) / 1) = 0.4235
    assert drawn({"name": "lognormal", "mean": 0.5, "sigma": 2.0}).min() == 1


def test_a_power_law_falls_as_it_should():
    amounts = drawn({"name": "power_law", "exponent": 2.5, "min": 10})
    assert amounts.min() == 10
    for most in (20, 40, 160):  # P(n >= k) = (k / min)^(1 - exponent)
        assert (amounts >= most).mean() == pytest.approx((most / 10) ** -1.5, rel=0.1)


def test_a_power_law_that_ends():
    amounts = drawn({"name": "power_law", "exponent": 2, "min": 2, "max": 5})
    above = 2 / np.arange(2, 7)  # what lies above k of the law without an end
    shares = (above[:-1] - above[1:]) / (1 - above[-1])
    assert np.bincount(amounts)[2:] / len(amounts) == pytest.approx(shares, abs=0.015)
    assert drawn({"name": "power_law", "exponent": 3, "min": 4, "max": 4}, 5).tolist() == [4] * 5


@pytest.mark.parametrize(
    "given",
    [
        {"min": 3, "max": 90},
        {"name": "lognormal", "mean": 30, "sigma": 1},
        {"name": "power_law", "exponent": 2, "min": 5},
    ],
)
def test_one_seed_one_draw(given):
    assert np.array_equal(drawn(given, 50), drawn(given, 50))
    assert not np.array_equal(drawn(given, 50), drawn(given, 50, seed=1))


@pytest.mark.parametrize("given", [None, {}])
def test_without_amounts_iid_deals_everything_as_ever(given):
    plain = deal("iid", LABELS, 20, stream(1, "partition"))
    assert all(map(np.array_equal, plain, deal("iid", LABELS, 20, stream(1, "partition"), amounts=given)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("amounts", [[200, 300, 50, 1, 7], [1, 1, 1, 1, 1], [1433, 1, 1, 1, 1], [287] * 5])
def test_iid_with_amounts_deals_them_from_each_class_in_proportion(amounts, seed):
    parts = deal("iid", LABELS, 5, stream(seed, "partition"), amounts=amounts)
    assert [len(part) for part in parts] == amounts
    assert len(np.unique(np.concatenate(parts))) == sum(amounts)
    expected = np.outer(amounts, np.bincount(LABELS) / len(LABELS))
    assert np.abs(class_counts(LABELS, parts, 10) - expected).max() < 2


def test_spread_by_hand():
    assert spread(np.array([1]), stream(0, "spread")).tolist() == [0]
    for seed in range(20):
        clients = spread(np.array([8, 4]), stream(seed, "spread"))
        assert np.bincount(clients).tolist() == [8, 4]
        assert np.diff(np.flatnonzero(clients == 1)).tolist() == [3, 3, 3]


KEY = "partition.amounts"


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        (5, f"{KEY} = 5: must be a list with the number of samples of each client, "),
        ("lognormal", f"{KEY} = 'lognormal': must be a list"),
        ([], f"{KEY}: has 0 numbers, but partition.clients = 20: give one number of samples each"),
        ([5] * 19, f"{KEY}: has 19 numbers, but partition.clients = 20"),
        ([5] * 19 + [0], rf"{KEY}\[19\] = 0: must be from 1 to 1,000,000,000"),
        ([5] * 19 + [2.0], rf"{KEY}\[19\] = 2.0: must be a whole number"),
        ([5] * 19 + [True], rf"{KEY}\[19\] = True: must be a whole number"),
        ([5] * 19 + [10**30], rf"{KEY}\[19\] = 10+: must be from 1 to"),
        ({"min": 5}, f"{KEY}.max: required, but missing; it is a whole number, from 1 to"),
        ({"min": 9, "max": 5}, f"{KEY}.min = 9: must not be larger than {KEY}.max = 5"),
        ({"min": 0, "max": 5}, f"{KEY}.min = 0: must be from 1 to"),
        ({"min": 1, "max": 5, "mean": 3}, f"{KEY}.mean: unknown key; valid: max, min"),
        ({"name": "pareto"}, f"{KEY}.name = 'pareto': must be one of uniform, lognormal, power_law"),
        ({"name": "lognormal", "mean": 5}, f"{KEY}.sigma: required, but missing; it is a number, from 0 to 10"),
        ({"name": "lognormal", "mean": 0, "sigma": 1}, f"{KEY}.mean = 0: must be greater than 0, at most"),
        ({"name": "lognormal", "mean": 5, "sigma": -1}, f"{KEY}.sigma = -1: must be from 0 to 10"),
        ({"name": "power_law", "exponent": 1, "min": 5}, f"{KEY}.exponent = 1: must be greater than 1"),
        ({"name": "power_law", "exponent": 2}, f"{KEY}.min: required, but missing"),
        (
            [72] * 20,
            rf"{KEY} = \[72, 72, 72, 72, 72, 72, ...\]: the 20 clients ask for 1,440 samples, there are 1,437 training "
            "samples; ask for less, or lower partition.clients",
        ),
        ({"min": 100, "max": 100}, f"{KEY} = {{'max': 100, 'min': 100}}: the 20 clients ask for 2,000 samples"),
    ],
)
def test_mistakes(amounts, message):
    with pytest.raises(JobError, match=message):
        deal("iid", LABELS, 20, stream(0, "partition"), amounts=amounts)
