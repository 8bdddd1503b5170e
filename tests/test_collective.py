"""The Collective on one rank: means that are exact, failures that stay with their client, memory that stays flat."""

import gc
import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn
from worlds import CPU, Net, federation

from hpcfl.collective import Collective, _heard
from hpcfl.core import Step
from hpcfl.errors import JobError
from hpcfl.strategies import FedAvg
from hpcfl.sums import LIMIT, ExactSum
from hpcfl.transport.group import Solo

SIZES = (6, 4, 9, 5, 7)


def spoil(w, value):
    spoiled = w.clone()
    spoiled[3] = value
    return spoiled


def raises(w):
    raise KeyError("the sensor is gone")


FAULTS = {
    "raises": (raises, "KeyError: 'the sensor is gone' (test_collective.py:"),
    "nan": (lambda w: {"w": spoil(w, math.nan)}, "non-finite values in the upload 'w'"),
    "inf": (lambda w: {"w": spoil(w, -math.inf)}, "non-finite values in the upload 'w'"),
    "names": (lambda w: {"v": w}, "local returned ['v'], but the strategy's uploads are ['w']"),
    "too many": (lambda w: {"w": w, "v": w}, "local returned ['v', 'w']"),
    "nothing": (lambda w: None, "TypeError"),
    "no tensor": (lambda w: {"w": 3.0}, "Error: "),
    "shape": (lambda w: {"w": w[:-1]}, "upload 'w' has shape"),
    "scalar": (lambda w: {"w": w.sum()}, "upload 'w' has shape ()"),
}
TOO_LARGE = {
    "beyond": (lambda w: {"w": spoil(w, 2 * LIMIT)}, "upload 'w' diverged: a value of 1.31e+05 is beyond the 65536"),
    "at the limit": (lambda w: {"w": spoil(w, -LIMIT)}, "beyond the 65536"),
}


@dataclass(frozen=True)
class Faulty(FedAvg):
    """FedAvg in which some clients go wrong after they trained."""

    faults: dict = field(default_factory=dict)

    def local(self, fit, sent, client):
        w = fit(sent["w"])
        return self.faults[client.id](w) if client.id in self.faults else {"w": w}


class Diverges(FedAvg):
    """The loss itself becomes NaN for client 2."""

    def loss(self, logits, labels, client):
        return super().loss(logits, labels, client) * (math.nan if client.id == 2 else 1)


@pytest.fixture(scope="module")
def trained():
    """(clients, P): what each client uploads when nothing goes wrong."""
    parts = federation(sizes=SIZES)
    return torch.stack([parts.train(client) for client in range(len(SIZES))])


def exact_mean(trained, clients):
    """The mean over `clients`, with the weights of a cohort that was planned with everybody."""
    total = ExactSum(tuple(trained.shape[1:]), CPU)
    for client in clients:
        total.add(trained[client], SIZES[client] / sum(SIZES))
    total.settle()
    return total.mean(sum(SIZES[client] / sum(SIZES) for client in clients))


def test_the_mean_is_that_of_what_the_clients_trained(trained):
    cohort = federation(sizes=SIZES).collect()
    weights = torch.tensor(SIZES, dtype=torch.float64) / sum(SIZES)
    assert (cohort.mean("w") - (weights[:, None] * trained.double()).sum(0)).abs().max() < 1e-7
    assert torch.equal(cohort.mean("w"), exact_mean(trained, range(5)))
    assert [update.job.client for update in cohort] == [0, 1, 2, 3, 4]
    assert [update.steps for update in cohort] == [update.job.steps for update in cohort]
    assert all(update.failure is None and update.rank == 0 and update.seconds > 0 for update in cohort)
    assert cohort.failures == ()


def test_the_order_of_the_jobs_does_not_matter():
    parts = federation(sizes=SIZES)
    forward, backward = parts.collect(parts.jobs()), parts.collect(parts.jobs()[::-1])
    assert torch.equal(forward.mean("w"), backward.mean("w"))
    assert [update.job for update in forward] == [update.job for update in backward]
    assert [update.loss for update in forward] == [update.loss for update in backward]


def test_float_sums_are_close():
    exact, plain = federation(sizes=SIZES).collect(), federation(sizes=SIZES).collect(reproducible=False)
    assert torch.allclose(exact.mean("w"), plain.mean("w"), atol=1e-6)


@pytest.mark.parametrize("reproducible", [True, False])
def test_steps_of_one_pool_do_not_mix(reproducible):
    parts = federation(sizes=SIZES)
    pool = Collective(Solo(), parts.trainer, parts.world, reproducible)

    def collect(version):
        pool.submit(parts.jobs(version), lambda client: {"w": parts.world.initial})
        return pool.collect(Step(version + 1, 0.0, tuple(parts.jobs(version)), ())).mean("w")

    first = collect(0)
    kept = first.clone()
    assert not torch.equal(collect(1), first)
    assert torch.equal(collect(0), first)
    assert torch.equal(first, kept)


def collect_with(fault, reproducible):
    """The cohort in which client 2 goes wrong, and the one that it was not asked for."""
    cohort = federation(sizes=SIZES, strategy=Faulty({2: fault})).collect(reproducible=reproducible)
    without = federation(sizes=SIZES)
    return cohort, without.collect([job for job in without.jobs() if job.client != 2], reproducible)


@pytest.mark.parametrize("fault, reason", [*FAULTS.values(), *TOO_LARGE.values()], ids=[*FAULTS, *TOO_LARGE])
def test_a_client_s_failure_is_recorded_and_the_others_go_on(trained, fault, reason):
    cohort, without = collect_with(fault, reproducible=True)
    assert [update.job.client for update in cohort.failures] == [2]
    assert reason in cohort.failures[0].failure
    assert [update.job.client for update in cohort] == [0, 1, 3, 4]
    assert torch.equal(cohort.mean("w"), exact_mean(trained, [0, 1, 3, 4]))
    assert torch.allclose(cohort.mean("w"), without.mean("w"), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("fault, reason", FAULTS.values(), ids=FAULTS)
def test_failures_with_float_sums(fault, reason):
    cohort, without = collect_with(fault, reproducible=False)
    assert [update.job.client for update in cohort.failures] == [2]
    assert reason in cohort.failures[0].failure
    assert torch.allclose(cohort.mean("w"), without.mean("w"), atol=1e-6)


@pytest.mark.parametrize("fault, _", TOO_LARGE.values(), ids=TOO_LARGE)
def test_float_sums_hold_what_exact_ones_cannot(fault, _):
    cohort, _ = collect_with(fault, reproducible=False)
    assert (len(cohort), cohort.failures) == (5, ())
    assert abs(cohort.mean("w")[3]) > LIMIT * SIZES[2] / sum(SIZES) - 1


def test_a_loss_that_is_not_finite_is_a_failure():
    cohort = federation(sizes=SIZES, strategy=Diverges()).collect()
    assert [update.failure for update in cohort.failures] == ["training loss is nan"]
    assert math.isfinite(cohort.mean("w").sum())


def test_several_failures_keep_their_own_reasons():
    faults = {4: FAULTS["raises"][0], 0: FAULTS["nan"][0], 3: FAULTS["names"][0]}
    parts = federation(sizes=SIZES, strategy=Faulty(faults))
    cohort = parts.collect(parts.jobs()[::-1])
    reasons = {update.job.client: update.failure for update in cohort.failures}
    assert list(reasons) == [0, 3, 4]
    assert ("non-finite" in reasons[0], "local returned" in reasons[3], "KeyError" in reasons[4]) == (True, True, True)


def test_a_step_without_any_success_has_no_mean():
    cohort = federation(sizes=SIZES, strategy=Faulty(dict.fromkeys(range(5), raises))).collect()
    assert (len(cohort), len(cohort.failures), cohort.means) == (0, 5, {})


@dataclass(frozen=True)
class Uploads(FedAvg):
    """Every kind of upload at once."""

    uploads = {"w": "clients", "loss": "clients", "size": "examples", "id": "each", "pair": "each"}
    fails: int = -1

    def local(self, fit, sent, client):
        w = fit(sent["w"])
        if client.id == self.fails:
            raise RuntimeError("out of battery")
        number = torch.tensor(float(client.id))
        pair = torch.stack([number, number + 0.5])
        return {"w": w, "loss": number, "size": torch.tensor(client.examples), "id": number, "pair": pair}


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 2, 1]])
def test_gathered_uploads_come_in_the_order_of_the_updates(order):
    parts = federation(sizes=SIZES, strategy=Uploads())
    cohort = parts.collect([parts.jobs()[client] for client in order])
    assert cohort.gather("id").tolist() == [update.job.client for update in cohort] == [0, 1, 2, 3, 4]
    assert cohort.gather("pair").tolist() == [[k, k + 0.5] for k in range(5)]


def test_gathered_uploads_lack_the_failed():
    parts = federation(sizes=SIZES, strategy=Uploads(fails=3))
    cohort = parts.collect(parts.jobs()[::-1])
    assert cohort.gather("id").tolist() == [update.job.client for update in cohort] == [0, 1, 2, 4]
    assert "out of battery" in cohort.failures[0].failure


def test_averages_are_weighted_as_the_strategy_says(trained):
    cohort = federation(sizes=SIZES, strategy=Uploads()).collect()
    assert cohort.mean("loss").item() == pytest.approx(2.0, abs=1e-6)
    assert cohort.mean("size").item() == pytest.approx(sum(n * n for n in SIZES) / sum(SIZES), abs=1e-6)
    assert torch.allclose(cohort.mean("w"), trained.mean(0), atol=1e-7)


def test_nothing_to_do():
    cohort = federation(sizes=SIZES).collect([])
    assert (len(cohort), cohort.failures) == (0, ())


@dataclass(frozen=True)
class Counting(FedAvg):
    """Counts, when the last client trains, the memory blocks as large as the model that are alive."""

    large: int = 0
    counted: list = field(default_factory=list)
    uploads = {"w": "examples"}

    def local(self, fit, sent, client):
        w = fit(sent["w"])
        if client.id == len(client.counts) - 1:
            self.counted.append(blocks(self.large))
        return {"w": w}


@dataclass(frozen=True)
class Keeping(Counting):
    """The control: every client's model is brought to the server, and so kept."""

    uploads = {"w": "each"}


def blocks(size):
    """Distinct memory blocks of at least `size` bytes among the living tensors."""
    found = (thing.untyped_storage() for thing in gc.get_objects() if type(thing) in (torch.Tensor, nn.Parameter))
    return len({block.data_ptr() for block in found if block.nbytes() >= size})


@pytest.mark.parametrize("kind, growth", [(Counting, 0), (Keeping, 9)])
def test_memory_does_not_grow_with_the_number_of_clients(kind, growth):
    counts = []
    for clients in (3, 12):
        strategy = kind(large=4 * 20_000)
        wide = federation(
            module=lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 1500), nn.Linear(1500, 12)),
            sizes=(1,) * clients,
            classes=clients,
            strategy=strategy,
        )
        assert wide.world.layout.size > 20_000
        wide.collect()
        counts += strategy.counted
        del wide
    assert counts[1] - counts[0] == growth


def test_the_net_of_these_tests_can_remember():
    assert any(isinstance(layer, nn.Dropout) for layer in Net())


class Greedy(FedAvg):
    """Changes what was sent to everybody."""

    def local(self, fit, sent, client):
        sent["w"].add_(1)
        return {"w": fit(sent["w"])}


def test_changing_what_was_sent_in_place_is_told():
    with pytest.raises(JobError, match="in place"):
        federation(sizes=SIZES, strategy=Greedy()).collect()


@dataclass(frozen=True)
class Uneven(FedAvg):
    """Gathers what has another shape for client 2."""

    uploads: ClassVar[dict[str, str]] = {"w": "each"}

    def local(self, fit, sent, client):
        return {"w": fit(sent["w"])[: 3 + (client.id == 2)]}


def test_a_gathered_upload_of_another_shape_is_that_client_s_failure():
    updates = federation(sizes=SIZES, strategy=Uneven()).collect()
    assert [update.job.client for update in updates.failures] == [2]
    assert "has shape (4,), expected (3,)" in updates.failures[0].failure
    assert updates.gather("w").shape == (4, 3)


@pytest.mark.parametrize(
    "damage", [lambda table: table[0].fill_(3), lambda table: table[1].fill_(math.nan), lambda table: table[2].zero_()]
)
def test_a_report_of_other_jobs_is_refused(damage):
    hand = [SimpleNamespace(client=client) for client in (4, 1)]
    table = torch.tensor(
        [[2, 0.5, 0.1, 0, 0], [4, 1, 0.5, 0.1, 0], [1, 1, 0.5, 0.1, 0], [0, 0, 0, 0, 0]], dtype=torch.float64
    )
    assert _heard(3, hand, table) == table[:3].tolist()
    damage(table)
    with pytest.raises(ValueError, match="rank 3 reports other jobs than the 2 it was given"):
        _heard(3, hand, table)
