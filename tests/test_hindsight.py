"""A share that is looked at once: the sums, rows and reasons of one that looks at every client."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.batched import Batched
from hpcfl.captured import Captured, Eager
from hpcfl.core import programs
from hpcfl.hindsight import Hindsight, Lane
from hpcfl.orders import Order
from hpcfl.sgd import SGD
from hpcfl.share import Share, Sums
from hpcfl.strategies import FedAvg, FedNova

SIZES = (6, 4, 9, 5, 1, 13, 7)


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3))


@dataclass(frozen=True)
class Unlucky(FedAvg):
    """A client that cannot, one whose loss is no number, and three whose uploads cannot be taken."""

    uploads: ClassVar[dict[str, str]] = {"w": "examples", "norm": "clients", "first": "each"}

    def loss(self, logits, labels, client):
        if client.id == 1:
            raise ValueError("client 1 has no power")
        return client.loss(logits, labels) * (float("nan") if client.id == 2 else 1.0)

    def local(self, fit, sent, client):
        w = fit(sent["w"])
        odd = {3: float("inf"), 4: 1e9}.get(client.id, 1.0)
        uploads = {"w": w * odd, "norm": w.norm(), "first": w[:3]}
        if client.id == 5:
            del uploads["norm"]
        return uploads


STRATEGIES = {"fedavg": FedAvg(), "fednova": FedNova(), "unlucky": Unlucky()}


def share(kind, strategy, *, exact=True, lanes=0, graph=None, size=1):
    parts = federation(module=Small, optimizer=SGD, sizes=SIZES, strategy=STRATEGIES[strategy])
    jobs, trainer = parts.jobs(), parts.trainer
    order = Order.of(jobs, lambda client: {"w": parts.world.initial})
    trainers = [trainer, *(trainer.twin() for _ in range(lanes - 1))]
    if graph:
        for each in trainers:
            Captured(each, graph)
    given = ([Lane(each) for each in trainers],) if lanes else ()
    done = kind(order, trainer, Sums(exact, trainer.device), *given)
    batched = Batched(trainer, size) if size > 1 else None
    for program in programs(jobs, size):
        done.train(program, batched)
    done.finish()
    return done


def assert_same(found, expected):
    for (*row, _, failed), (*known, _, known_failed) in zip(found.rows, expected.rows, strict=True):
        assert failed == known_failed
        if not failed:
            assert row == known
    assert [line.rpartition(" (")[0] or line for line in found.reasons] == [
        line.rpartition(" (")[0] or line for line in expected.reasons
    ]
    for name, total in expected.sums.items():
        total.settle()
        found.sums[name].settle()
        assert torch.equal(found.sums[name].total, total.total), name
    for name, kept in expected.kept.items():
        assert len(found.kept[name]) == len(kept)
        assert all(map(torch.equal, found.kept[name], kept)), name


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_it_has_what_a_share_has(strategy, lanes, exact):
    expected = share(Share, strategy, exact=exact)
    assert_same(share(Hindsight, strategy, exact=exact, lanes=lanes), expected)


@pytest.mark.parametrize("lanes", [1, 3])
def test_lanes_replay_steps_of_their_own(lanes):
    assert_same(share(Hindsight, "fednova", lanes=lanes, graph=Eager), share(Share, "fednova"))


def test_programs_of_many_clients_are_taken_in_alike():
    assert_same(share(Hindsight, "fedavg", size=4), share(Share, "fedavg", size=4))


def test_what_failed_is_counted_and_said():
    done = share(Hindsight, "unlucky", lanes=3)
    assert [row[-1] for row in done.rows] == [False, True, True, True, True, True, False]
    said = ("has no power", "training loss is nan", "non-finite values in the upload 'w'", "diverged", "local returned")
    assert all(words in reason for words, reason in zip(said, done.reasons, strict=True))
    assert len(done.kept["first"]) == 2
    assert done.seconds >= sum(row[3] for row in done.rows) - 1e-9


def test_nobody_is_none_the_worse():
    parts = federation()
    done = Hindsight(Order.of([], lambda client: {}), parts.trainer, Sums(True, parts.trainer.device))
    done.finish()
    assert (done.rows, done.reasons) == ([], [])
