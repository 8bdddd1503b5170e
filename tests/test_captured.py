"""Recorded steps: over memory that stands still, with the bits of the sequential path; on a GPU those of the graph."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.captured import Captured, Eager, Recording, obstacle
from hpcfl.sgd import SGD
from hpcfl.strategies import APFL, QFFL, DFedAvg, Ditto, FedAvg, FedLC, FedNova, FedProx, FedRep, PFedMe, Scaffold
from hpcfl.transforms import CropFlip

SIZES = (6, 4, 9, 5, 1, 13)


def momentum(parameters, lr):
    return SGD(parameters, lr=lr, momentum=0.9, weight_decay=0.1)


def nesterov(parameters, lr):
    return SGD(parameters, lr=lr, momentum=0.9, nesterov=True)


@dataclass(frozen=True)
class Twice(FedAvg):
    """Trains the model, and then what came of it on half of the epochs."""

    def local(self, fit, sent, client):
        return {"w": fit(fit(sent["w"]) * 0.5, epochs=1)}


class Smooth(FedAvg):
    def loss(self, logits, labels, client):
        return client.loss(logits, labels) + logits.square().mean()


CASES = {
    "batch norm and dropout": {},
    "momentum": {"optimizer": momentum},
    "nesterov": {"optimizer": nesterov},
    "adam": {"optimizer": torch.optim.Adam, "rates": (0.01, 0.02)},
    "adamw": {"optimizer": torch.optim.AdamW, "rates": (0.01,)},
    "fedprox": {"strategy": FedProx(mu=0.5)},
    "fedlc": {"strategy": FedLC(tau=0.5)},
    "fednova": {"strategy": FedNova()},
    "scaffold": {"strategy": Scaffold()},
    "ditto": {"strategy": Ditto(lam=0.5)},
    "apfl": {"strategy": APFL(alpha_rate=1.0)},
    "pfedme": {"strategy": PFedMe(lam=2.0, local_rounds=2)},
    "qffl": {"strategy": QFFL()},
    "fedrep": {"strategy": FedRep(head_epochs=2)},
    "dfedavg": {"strategy": DFedAvg()},
    "two fits": {"strategy": Twice()},
    "a loss of its own": {"strategy": Smooth()},
    "augmentation": {"transform": CropFlip(padding=1)},
    "whole batches": {"batch_size": 1},
    "two rates": {"rates": (0.1, 0.05)},
}


def made(case, graph=None):
    parts = federation(**{"optimizer": SGD, "sizes": SIZES, "epochs": (1, 3), **CASES[case]})
    if graph is not None:
        Captured(parts.trainer, graph)
    return parts


def trained(parts, versions=(0, 1)):
    """(uploads, steps, examples, loss) of every client's job from each version; what it keeps at home stays there."""
    strategy, found = parts.trainer.strategy, []
    state = strategy.init(parts.world)
    for version in versions:
        for job in parts.jobs(version):
            uploads, fit = parts.trainer.train(job, strategy.send(state, job.client))
            parts.trainer.keep(fit)
            kept = {name: value.clone() for name, value in uploads.items()}
            found.append((kept, fit.steps, fit.examples, fit.loss.item()))
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_the_sequential_path(case):
    for (uploads, *counts), (found, *found_counts) in zip(trained(made(case)), trained(made(case, Eager)), strict=True):
        assert found_counts == counts
        assert found.keys() == uploads.keys()
        for name, value in uploads.items():
            assert torch.equal(found[name], value), name


def test_what_runs_before_a_capture_leaves_no_trace():
    weight, made_later, draws = torch.ones(3), [], []

    def compute():
        weight.add_(1.0)
        draws.append(torch.rand(()).item())
        made_later.append(torch.ones(2)) if not made_later else made_later[0].add_(1.0)

    torch.manual_seed(0)
    expected = [torch.rand(()).item() for _ in range(2)]
    torch.manual_seed(0)
    recording = Recording(compute, lambda: [weight, *made_later], Eager())
    assert weight.tolist() == [1.0] * 3
    assert made_later[0].tolist() == [0.0] * 2
    draws.clear()
    recording.run()
    recording.run()
    assert weight.tolist() == [3.0] * 3
    assert draws == expected


class Broken(Eager):
    """A graph that cannot capture."""

    def capture(self, compute):
        compute()
        raise RuntimeError("operation not permitted when stream is capturing")


def test_a_step_that_cannot_be_captured_is_made_call_by_call():
    for (uploads, *counts), (found, *found_counts) in zip(trained(made("momentum")), trained(made("momentum", Broken))):
        assert found_counts == counts
        assert torch.equal(found["w"], uploads["w"])


class Counted(Eager):
    made = 0

    def __init__(self):
        Counted.made += 1


def test_so_many_lengths_of_batch_get_a_graph_and_no_more():
    Counted.made = 0
    parts = federation(optimizer=SGD, sizes=tuple(range(1, 25)), batch_size=16)
    Captured(parts.trainer, Counted)
    trained(parts, versions=(0, 1))
    assert Counted.made == 10  # eight and one rest, and the whole one


class Nosy(FedAvg):
    def loss(self, logits, labels, client):
        return client.loss(logits, labels) * (1 + client.id)


def test_a_trial_says_why_not_and_trains_nothing():
    parts = federation(optimizer=SGD, sizes=SIZES)
    expected = federation(optimizer=SGD, sizes=SIZES).train(2)
    captured = Captured(parts.trainer, Eager)
    assert captured.trial(parts.jobs()[2], {"w": parts.world.initial}) is None
    assert torch.equal(parts.train(2), expected)
    neighbour = federation(optimizer=SGD, sizes=SIZES, strategy=DFedAvg())
    assert Captured(neighbour.trainer, Eager).trial(neighbour.jobs()[2], {}) is None
    nosy = federation(optimizer=SGD, sizes=SIZES, strategy=Nosy())
    reason = Captured(nosy.trainer, Eager).trial(nosy.jobs()[2], {"w": nosy.world.initial})
    assert reason.startswith("the algorithm looks at client.id in its steps")


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        (SGD, None),
        (torch.optim.Adam, None),
        (torch.optim.SGD, "torch's SGD may not keep still"),
        (lambda parameters, lr: SGD(parameters, lr=lr, momentum=0.9, dampening=0.5), "dampening"),
    ],
    ids=["sgd", "adam", "torch", "dampening"],
)
def test_optimizers_that_keep_still(optimizer, why):
    found = obstacle(optimizer([nn.Parameter(torch.zeros(1))], lr=0.1))
    assert found is None if why is None else why in found


def test_evaluation_between_recorded_jobs_changes_nothing():
    quiet, watched = made("momentum", Eager), made("momentum", Eager)
    for client in (0, 2, 1, 2):
        result = quiet.train(client)
        watched.trainer.evaluate(watched.world.initial, watched.samples, 5)
        assert torch.equal(watched.train(client), result)
