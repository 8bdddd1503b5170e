"""What is measured of a run, on curves of a few points."""

import numpy as np
import pytest
from written import NAN, write

from hpcfl.errors import ResultError
from hpcfl.report.measures import MEASURES, Goal, goal, spread
from hpcfl.report.runs import read

CURVE = [NAN, 0.25, 0.75, 0.5, NAN]


@pytest.fixture
def run(tmp_path):
    return read(write(tmp_path / "run.h5", CURVE, own=[0.5, 1.0, NAN, 0.75], client_accuracy=0.625))


AT_HALF = Goal("global", 0.5, "rounds", (2.0, 4.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.5),
        ("best", 0.75),
        ("area", (0.5 + 0.625) / 2),
        ("loss", 1 / 5),
        ("rounds", 3),
        ("time", 6.0),
        ("wall", 1.5),
        ("bytes", 12e6),
        ("own", 0.75),
        ("own_low", 0.55),
        ("own_std", np.std([0.5, 1.0, 0.75])),
    ],
)
def test_each_measure(run, name, value):
    assert MEASURES[name].take(run, AT_HALF) == pytest.approx(value, rel=1e-12)


def test_a_target_that_is_not_reached_costs_nothing_known(run):
    for name in ("rounds", "time", "wall", "bytes"):
        assert np.isnan(MEASURES[name].take(run, Goal("global", 0.8)))


def test_the_area_is_over_what_is_common(run, tmp_path):
    longer = read(write(tmp_path / "longer.h5", [0.0, NAN, 0.5, 0.5, 0.5, 1.0]))
    aim = goal([run, longer])
    assert aim == Goal("global", 0.75, "rounds", (2.0, 4.0))
    assert MEASURES["area"].take(longer, aim) == pytest.approx((0.375 + 0.5) / 2)
    by_bytes = goal([run, longer], over="bytes")
    assert by_bytes.span == (8e6, 16e6)
    assert MEASURES["area"].take(longer, by_bytes) == pytest.approx((0.375 + 0.5) / 2)


def test_a_curve_of_one_point_has_no_area(tmp_path):
    run = read(write(tmp_path / "one.h5", [0.5]))
    assert np.isnan(MEASURES["area"].take(run, goal([run])))


def test_the_area_is_numpys(tmp_path):
    accuracies = np.random.default_rng(0).random(40)
    run = read(write(tmp_path / "run.h5", accuracies.tolist()))
    whole = np.trapezoid(accuracies, np.arange(1, 41)) if hasattr(np, "trapezoid") else np.trapz(accuracies)
    assert MEASURES["area"].take(run, goal([run])) == pytest.approx(whole / 39, rel=1e-12)


def test_accuracies_that_all_have(run, tmp_path):
    own = read(write(tmp_path / "own.h5", [NAN], client_accuracy=0.5))
    assert goal([run, own]).of == "own"
    assert goal([run, own]).target == 0.5
    plain = read(write(tmp_path / "plain.h5", [0.5]))
    never = read(write(tmp_path / "never.h5", [NAN]))
    assert goal([run, plain]).of == "global"
    with pytest.raises(ResultError, match="no kind of accuracy in common\n.*own.h5 has that of the clients' own"):
        goal([own, plain])
    with pytest.raises(ResultError, match="never.h5 has none: it was never evaluated"):
        goal([run, never])
    with pytest.raises(ResultError, match="not all have the accuracy of the clients' own models"):
        goal([run, plain], of="own")


def test_the_spread_of_clients_that_nobody_asked(tmp_path):
    assert np.isnan(list(spread(read(write(tmp_path / "a.h5", [0.5]))).values())).all()


def test_clients_that_kept_nothing_back_are_tested_on_the_test_set(tmp_path):
    run = read(write(tmp_path / "a.h5", [0.5], own=[NAN, NAN], tested=[0.25, 0.75]))
    assert spread(run)["mean"] == 0.5
    both = read(write(tmp_path / "b.h5", [0.5], own=[NAN, 1.0], tested=[0.25, 0.75]))
    assert spread(both)["mean"] == 1.0
