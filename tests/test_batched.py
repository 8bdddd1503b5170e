"""Many clients as one program: the samples and steps of the sequential path, its models and losses but for rounding."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from launcher import Launcher
from test_runs_mpi import assert_same, run_ok
from torch import nn
from worlds import federation

from hpcfl.batched import Batched, obstacle
from hpcfl.build import assemble
from hpcfl.collective import Collective
from hpcfl.core import Step, programs
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.strategies import QFFL, FedAvg, FedLC, FedNova, FedProx
from hpcfl.transport.group import Solo

TOLERANCE = 2e-6
"""Largest difference of a weight after the steps of these tests; measured: below 3e-7."""
SIZES = (6, 4, 9, 5, 1, 13)


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3))


class Convolved(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 3, 3), nn.GroupNorm(3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3, 3)
        )


@dataclass(frozen=True)
class Twice(FedAvg):
    """Trains the model, and then what came of it on half of the epochs; adds noise of torch's own."""

    def local(self, fit, sent, client):
        first = fit(sent["w"])
        client.state["first"] = first
        return {"w": fit(first * 0.5, epochs=1) + 0.01 * torch.randn(len(first))}


def smooth(logits, labels):
    return nn.functional.cross_entropy(logits, labels, label_smoothing=0.2) + logits.square().mean()


def momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=0.1)


CASES = {
    "plain": {},
    "momentum": {"optimizer": momentum},
    "adam": {"optimizer": torch.optim.Adam, "rates": (0.01,)},
    "rmsprop": {"optimizer": torch.optim.RMSprop, "rates": (0.01,)},
    "convolutions": {"module": Convolved},
    "label smoothing": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "another loss": {"loss": smooth},
    "class weights": {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))},
    "fedprox": {"strategy": FedProx(mu=0.5)},
    "fedlc": {"strategy": FedLC(tau=0.5)},
    "fednova": {"strategy": FedNova()},
    "qffl, which asks for a loss first": {"strategy": QFFL(q=1.5)},
    "two fits": {"strategy": Twice()},
    "whole batches": {"batch_size": 1},
}


def made(case, sizes=SIZES):
    return federation(**{"module": Small, "sizes": sizes, "epochs": (1, 3), "batch_size": 4, **CASES[case]})


def both(case, sizes=SIZES):
    """(uploads, steps, examples, loss) per client: one after the other, and together."""
    one, together = made(case, sizes), made(case, sizes)
    sent = {"w": one.world.initial}
    expected = []
    for job in one.jobs():
        uploads, fit = one.trainer.train(job, sent)
        expected.append(({k: v.clone() for k, v in uploads.items()}, fit.steps, fit.examples, fit.loss.item()))
    jobs = together.jobs()
    found = Batched(together.trainer, len(jobs)).train(jobs, [sent] * len(jobs))
    each = [{name: values[row] for name, values in found.uploads.items()} for row in range(len(jobs))]
    return expected, list(zip(each, found.steps, found.examples, found.losses.tolist(), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_it_does_what_the_sequential_path_does(case):
    for (uploads, *counts, loss), (found, *found_counts, found_loss) in zip(*both(case), strict=True):
        assert found_counts == counts
        assert found_loss == pytest.approx(loss, rel=1e-5)
        assert found.keys() == uploads.keys()
        for name, value in uploads.items():
            assert (found[name] - value).abs().max() <= TOLERANCE, name


def test_it_is_deterministic_and_leaves_what_was_sent_alone():
    parts = made("momentum")
    jobs, sent = parts.jobs(), {"w": parts.world.initial}
    before = sent["w"].clone()
    batched = Batched(parts.trainer, len(jobs))
    first = batched.train(jobs, [sent] * len(jobs)).uploads["w"].clone()
    assert torch.equal(first, batched.train(jobs, [sent] * len(jobs)).uploads["w"])
    assert torch.equal(sent["w"], before)
    parts.train(0)  # and the sequential path still works on the same trainer


def collected(parts, size):
    jobs = tuple(parts.jobs())
    pool = Collective(Solo(), parts.trainer, parts.world, True, Batched(parts.trainer, size) if size else None)
    pool.submit(jobs, lambda client: {"w": parts.world.initial})
    return pool.collect(Step(1, 0.0, jobs, ()))


class Told(FedAvg):
    """Says who it is in bytes."""

    uploads = {"w": "examples", "word": "bytes"}  # noqa: RUF012

    def local(self, fit, sent, client):
        return {"w": fit(sent["w"]), "word": torch.tensor([7, client.id], dtype=torch.uint8)}


def test_bytes_stay_bytes():
    parts = federation(strategy=Told(), module=Small, sizes=SIZES)
    words = collected(parts, 4).each["word"]
    assert {word.dtype for word in words} == {torch.uint8}
    assert [word.tolist() for word in words] == [[7, client] for client in range(6)]


def test_a_cohort_in_programs_has_the_mean_of_the_sequential_one():
    expected, found = collected(made("plain"), None), collected(made("plain"), 4)
    assert [update.job for update in found] == [update.job for update in expected]
    assert [update.steps for update in found] == [update.steps for update in expected]
    assert (found.mean("w") - expected.mean("w")).abs().max() <= TOLERANCE


@dataclass(frozen=True)
class Failing(FedAvg):
    how: str = "raise"

    def loss(self, logits, labels, client):
        if client.id == 2:
            if self.how == "raise":
                raise ValueError("client 2 has no power")
            return logits.sum() * float("nan")
        return client.loss(logits, labels)


@pytest.mark.parametrize(("how", "reason"), [("raise", "client 2 has no power"), ("diverge", "loss is nan")])
def test_a_client_that_fails_fails_alone(how, reason):
    parts = federation(module=Small, sizes=SIZES, strategy=Failing(how))
    cohort = collected(parts, 6)
    assert [update.job.client for update in cohort] == [0, 1, 3, 4, 5]
    [failed] = cohort.failures
    assert failed.job.client == 2
    assert reason in failed.failure


@dataclass(frozen=True)
class Lazy(FedAvg):
    """Odd clients send back what they got."""

    def local(self, fit, sent, client):
        return {"w": sent["w"] if client.id % 2 else fit(sent["w"])}


def test_a_client_that_trains_nothing_is_none_the_worse():
    expected, found = (collected(federation(module=Small, sizes=SIZES, strategy=Lazy()), size) for size in (None, 6))
    assert [(update.steps, update.failure) for update in found] == [
        (update.steps, update.failure) for update in expected
    ]
    assert [update.loss for update in found if update.job.client % 2] == [0.0] * 3
    assert (found.mean("w") - expected.mean("w")).abs().max() <= TOLERANCE


class Careless(FedAvg):
    """Changes what everybody was sent."""

    def local(self, fit, sent, client):
        return {"w": fit(sent["w"].add_(1.0))}


@pytest.mark.parametrize("size", [None, 6])
def test_changing_what_was_sent_is_found_either_way(size):
    with pytest.raises(JobError, match="changed a tensor that was sent to all clients in place"):
        collected(federation(module=Small, sizes=SIZES, strategy=Careless()), size)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "Dropout"),
        ({"module": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.BatchNorm1d(3))}, "buffers"),
        ({"module": Small, "transform": lambda x: x}, "data.transform"),
        ({"module": Small, "optimizer": torch.optim.Adafactor}, "Adafactor"),
        ({"module": Small, "strategy": type("Home", (FedAvg,), {"private": True})()}, "private state"),
    ],
    ids=["dropout", "buffers", "transform", "optimizer", "private"],
)
def test_what_cannot_be_stacked_says_why(changes, why):
    given = {"module": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)), **changes}
    assert why in obstacle(federation(**given).trainer)
    assert obstacle(made("plain").trainer) is None


def test_programs_follow_from_the_jobs_alone():
    jobs = federation(module=Small, sizes=(9, 1, 5, 9, 1, 5, 2)).jobs()
    found = [[job.client for job in program] for program in programs(jobs, 3)]
    assert found == [[1, 4], [6, 2], [5, 0, 3]]
    assert [[job.client for job in program] for program in programs(jobs[::-1], 3)] == found
    assert programs(jobs, 1) == [[job] for job in jobs]
    assert programs([], 3) == []


JOB = {
    "rounds": 2,
    "data": {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 8, 8], "classes": 3},
    "partition": {"clients": 3},
    "model": {"name": "mlp", "hidden": [4]},
}


def execution(**changes):
    parts = assemble(
        JobFile("", JobSpec.parse({**JOB, **changes}, "job.toml"), None), torch.device("cpu"), trains=True, serves=True
    )
    return parts.batched


def test_auto_is_a_rule_of_the_job():
    assert execution()
    assert execution(model="cnn") is None
    assert execution(model={"name": "mlp", "hidden": [4000]}) is None
    assert execution(execution="sequential") is None
    assert execution(model="cnn", execution="batched")
    assert execution(schedule="buffered") is None
    assert execution(strategy="scaffold") is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"strategy": "scaffold"}, "its clients keep private state"),
        ({"schedule": "buffered"}, "asynchronous jobs come one by one"),
        ({"clock": "wall"}, "asynchronous jobs come one by one"),
        ({"model": {"name": "cnn", "norm": "batch"}}, "the model has buffers"),
    ],
)
def test_batched_where_it_cannot_be_is_one_message(changes, why):
    with pytest.raises(JobError, match=f'execution = "batched": cannot be: {why}'):
        execution(execution="batched", **changes)


@pytest.mark.slow
def test_the_same_bits_on_any_number_of_ranks(launch: Launcher, tmp_path: Path):
    (tmp_path / "job.toml").write_text("""
rounds = 4
execution = "batched"
data = "digits"
partition = {name = "dirichlet", clients = 90, beta = 0.5}
model = {name = "mlp", hidden = [16]}
client = {epochs = [1, 3], batch_size = 8, lr = 0.1, optimizer = {name = "sgd", momentum = 0.9}}
strategy = {name = "fedprox", mu = 0.01}
""")
    for ranks in (1, 3, 9):
        run_ok(launch, ranks, "run", "job.toml", "--out", f"{ranks}.h5")
    for ranks in (3, 9):
        assert_same(tmp_path / "1.h5", tmp_path / f"{ranks}.h5")
    run_ok(launch, 1, "run", "job.toml", "--set", "execution=sequential", "--out", "s.h5")
