"""FedPer and FedRep on three numbers, the middle one of which is the head."""

from types import SimpleNamespace

import pytest
import torch
from cohorts import W, cohort, world

from hpcfl.errors import JobError
from hpcfl.flat import Entry, Layout
from hpcfl.strategies import FedPer, FedRep

LAYOUT = Layout(
    (Entry("a.w", (1,), 0, "parameter"), Entry("b.w", (1,), 1, "parameter"), Entry("a.mean", (1,), 2, "buffer")), 3, 2
)
SENT = {"body": torch.tensor([10.0, 30.0])}
KINDS = [FedPer, FedRep]


def at_home(**state):
    return SimpleNamespace(state={"w": W, **state}, layout=LAYOUT)


def test_the_head_goes_on_where_the_client_left_it():
    client, seen = at_home(), []

    def fit(w):
        seen.append(w.tolist())
        return w + 1

    for _ in range(2):
        assert FedPer().local(fit, SENT, client)["body"].tolist() == [11.0, 31.0]
    assert seen == [[10.0, -2.0, 30.0], [10.0, -1.0, 30.0]]
    assert FedPer().personal(None, SENT, client).tolist() == [10.0, 0.0, 30.0]
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_fedrep_trains_the_head_and_then_the_body_under_it():
    client, strategy, seen = at_home(head=torch.tensor([5.0])), FedRep(head_epochs=7), []

    def fit(w, epochs=None):
        grad = torch.tensor([1.0, 1.0])
        strategy.correct(grad, w[:2], w[:2], SENT, client)
        seen.append((w.tolist(), epochs, grad.tolist()))
        return w + 1

    assert strategy.local(fit, SENT, client)["body"].tolist() == [11.0, 31.0]
    assert seen == [([10.0, 5.0, 30.0], 7, [0.0, 1.0]), ([10.0, 6.0, 30.0], None, [1.0, 0.0])]
    assert client.state["head"].tolist() == [6.0]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_body_travels_and_is_averaged(kind):
    strategy = kind(head=["b"])
    state = strategy.init(world([1, 1], layout=LAYOUT))
    assert {name: value.tolist() for name, value in strategy.send(state, 0).items()} == {"body": [1.0, 3.0]}
    assert strategy.send(state, 0)["body"] is strategy.send(state, 1)["body"]
    state = strategy.combine(state, cohort([(0, 0, 1)], means={"body": [4.0, 6.0]}))
    assert state["w"].tolist() == [4.0, -2.0, 6.0]
    assert strategy.send(state, 0)["body"].tolist() == [4.0, 6.0]
    assert strategy.travels(LAYOUT, 0) == pytest.approx(2 / 3)
    assert kind(head=0).travels(LAYOUT, 0) == 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("head", "message"),
    [
        (2, "strategy.head = 2: leaves no other layer; there are 2: a, b"),
        (["c"], "strategy.head: 'c' is no layer of the model; there are a.w, b.w, a.mean"),
        (["a", "b"], "'b' leaves no other layer"),
    ],
)
def test_a_head_that_the_model_does_not_have_is_an_error(kind, head, message):
    with pytest.raises(JobError, match=message):
        kind(head=head).travels(LAYOUT, 0)
