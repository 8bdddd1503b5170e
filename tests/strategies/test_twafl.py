"""TWAFL on three numbers: the first and the last shallow, the middle one deep."""

import math
from types import SimpleNamespace

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.flat import Entry, Layout
from hpcfl.strategies import TWAFL
from hpcfl.strategies.twafl import temporal

LAYOUT = Layout(
    (Entry("a", (1,), 0, "parameter"), Entry("b.w", (1,), 1, "parameter"), Entry("c", (1,), 2, "buffer")), 3, 2
)
BASE = math.e / 2


def start(strategy, sizes=(2, 6, 4)):
    return strategy.init(world(sizes, layout=LAYOUT))


def test_weights_fall_with_the_age_of_the_last_upload():
    weights = temporal(torch.tensor([2, 6, 4, 8]), torch.tensor([5, 3, -1, 4]), 5)
    raw = [2.0, 6 * BASE**-2, 0.0, 8 / BASE]
    assert weights.tolist() == pytest.approx([value / sum(raw) for value in raw], rel=1e-14)
    assert weights.sum() == pytest.approx(1.0)


def test_deep_layers_travel_in_the_last_rounds_of_a_loop():
    rounds = [version + 1 for version in range(45) if TWAFL().sends_all(version)]
    assert rounds == [*range(11, 16), *range(26, 31), *range(41, 46)]
    assert not any(TWAFL(deep_rounds=0).sends_all(version) for version in range(20))
    assert all(TWAFL(loop=3, deep_rounds=3).sends_all(version) for version in range(20))


def test_the_share_that_travels_is_the_shallow_one_or_all():
    assert [TWAFL().travels(LAYOUT, version) for version in (0, 9, 10, 14, 15)] == pytest.approx(
        [2 / 3, 2 / 3, 1, 1, 2 / 3]
    )
    assert TWAFL(deep=["a", "b"]).travels(LAYOUT, 0) == pytest.approx(1 / 3)


def test_all_clients_are_sent_the_very_same_tensors():
    shallow, everything = TWAFL(), TWAFL(loop=1, deep_rounds=1)
    sent = shallow.send(start(shallow), 0)
    assert {name: value.tolist() for name, value in sent.items()} == {"spans": [[1, 2]], "shallow": [1.0, 3.0]}
    state = start(everything)
    assert everything.send(state, 0)["deep"].tolist() == [-2.0]
    assert all(value is everything.send(state, 7)[name] for name, value in everything.send(state, 0).items())


def test_clients_that_are_not_chosen_count_with_their_last_model():
    strategy = TWAFL()
    state = strategy.combine(
        start(strategy), cohort([(0, 0, 2), (1, 0, 6)], shallow=[[4.0, 0.0], [8.0, 4.0]], deep=[0.0, 0.0])
    )
    assert state["w"].tolist() == [7.0, -2.0, 3.0]
    assert state["shallow"].tolist() == [7.0, 3.0]
    assert state["shallow steps"].tolist() == [1, 1, -1]
    later = strategy.combine(
        state, cohort([(0, 0, 2), (2, 0, 4)], step=2, shallow=[[0.0, 1.0], [1.0, 0.0]], deep=[0.0] * 2)
    )
    old = 6 / BASE
    expected = [(8 * old + 4) / (2 + old + 4), -2.0, (2 + 4 * old) / (2 + old + 4)]
    assert later["w"].tolist() == pytest.approx(expected, rel=1e-6)
    assert later["shallow steps"].tolist() == [2, 1, 2]
    assert later["deep steps"].tolist() == [-1, -1, -1]
    assert state["shallow models"].tolist() == [[4.0, 0.0], [8.0, 4.0], [0.0, 0.0]]
    assert int(later["step"]) == 2


def test_deep_layers_age_by_their_own_uploads():
    strategy = TWAFL(loop=1, deep_rounds=1)
    state = start(strategy)
    state = strategy.combine(state, cohort([(0, 0, 2)], step=1, shallow=[[0.0, 0.0]], deep=[[8.0]]))
    state = strategy.combine(state, cohort([(1, 0, 6)], step=2, shallow=[[0.0, 0.0]], deep=[0.0]))
    assert state["w"].tolist() == [0.0, 8.0, 0.0]
    state = strategy.combine(state, cohort([(1, 0, 6)], step=3, shallow=[[0.0, 0.0]], deep=[[0.0]]))
    assert state["deep steps"].tolist() == [1, 3, -1]
    assert state["w"][1].item() == pytest.approx(8 * 2 * BASE**-2 / (2 * BASE**-2 + 6), rel=1e-6)
    assert strategy.send(state, 0)["deep"].tolist() == state["w"][1:2].tolist()


def test_in_rounds_without_them_a_client_goes_on_with_its_own_deep_layers():
    strategy, seen = TWAFL(), []
    client = SimpleNamespace(state={"w": W})

    def fit(w):
        seen.append(w.tolist())
        return w + 10

    sent = {"spans": torch.tensor([[1, 2]]), "shallow": torch.tensor([5.0, 6.0])}
    first = strategy.local(fit, sent, client)
    assert {name: value.tolist() for name, value in first.items()} == {"shallow": [15.0, 16.0], "deep": 0.0}
    strategy.local(fit, sent, client)
    last = strategy.local(fit, {**sent, "deep": torch.tensor([7.0])}, client)
    assert last["deep"].tolist() == [17.0]
    assert seen == [[5.0, -2.0, 6.0], [5.0, 8.0, 6.0], [5.0, 7.0, 6.0]]
    assert client.state["deep"].tolist() == [17.0]
    assert W.tolist() == [1.0, -2.0, 3.0]
