"""Faults on purpose: what they do by hand, whom they hit whatever runs where, and what the file says of them."""

import copy
import math
import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.compression import Half, feed_back
from hpcfl.core import Job
from hpcfl.errors import JobError, TrainingError
from hpcfl.faults import (
    LabelFlip,
    Noise,
    SignFlip,
    afflict,
    byzantine,
    damage,
    damaged,
    mortal,
    require_mortals,
    with_bits_turned,
)
from hpcfl.federation import build_devices
from hpcfl.jobfile import JobFile
from hpcfl.plan import plan
from hpcfl.results import open_results
from hpcfl.results.format import STATUS
from hpcfl.schema import Faults, JobSpec
from hpcfl.strategies import AFL, QFFL, FedAvg, FedBuff, FedNova
from hpcfl.transport.group import Solo

JOB = {
    "rounds": 4,
    "data": {"name": "synthetic", "samples": 200, "test_samples": 20, "shape": [1, 4, 4], "classes": 3},
    "partition": {"clients": 10},
    "model": {"name": "mlp", "hidden": [4]},
    "client": {"batch_size": 8, "lr": 0.1},
}


def build(**changes):
    spec = JobSpec.parse({**copy.deepcopy(JOB), **changes}, "job.toml")
    return assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=True)


def run(parts):
    """The final model, and every cohort."""
    pool, cohorts = Collective(Solo(), parts.trainer, parts.world, reproducible=True), []
    steps = parts.schedule(parts.world, VirtualClock())
    state = engine.run(parts.world, parts.strategy, steps, pool, lambda step, updates, *rest: cohorts.append(updates))
    return state["w"], cohorts


class Given(FedAvg):
    """Clients that change what they get by (3, 4), instead of training."""

    def local(self, fit, sent, client):
        return {"w": sent["w"] + torch.tensor([3.0, 4.0])}


class GivenChange(FedBuff):
    """The same, uploaded as a change."""

    def local(self, fit, sent, client):
        return {"change": torch.tensor([3.0, 4.0])}


@dataclass
class Someone:
    """As much of a client as these tests use."""

    id: int = 0
    version: int = 0
    visit: int = 0
    seed: int = 0

    def stream(self, purpose):
        return np.random.default_rng(7)

    def part(self, sent):
        return sent


ALL = Faults(byzantine=1.0)
DRAWS = np.random.default_rng(7).standard_normal(2, dtype="float32")


@pytest.mark.parametrize("strategy", [Given(), GivenChange()], ids=["model", "change"])
@pytest.mark.parametrize(
    ("attack", "change"), [(SignFlip(), [-3.0, -4.0]), (SignFlip(2.5), [-7.5, -10.0]), (Noise(0.5), 0.5 * DRAWS)]
)
def test_lies_by_hand(strategy, attack, change):
    w = torch.tensor([1.0, -1.0])
    [upload] = afflict(strategy, ALL, attack, 0, 1).local(None, {"w": w}, Someone()).values()
    base = w if isinstance(strategy, Given) else 0
    assert (upload - base).tolist() == pytest.approx(list(change))
    assert w.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("kind", [FedNova, QFFL, AFL])
def test_a_lie_is_as_long_as_the_change_whatever_the_upload_is_made_of(kind):
    parts = federation(strategy=kind(), sizes=(6, 4))
    job, sent = parts.jobs()[1], {"w": parts.world.initial, "lam": torch.tensor([0.7, 0.3])}
    honest, fit = parts.trainer.train(job, sent)
    base, honest = parts.trainer.strategy.base(sent, fit.client), honest["w"].clone()
    lie = federation(strategy=afflict(kind(), ALL, SignFlip(), 0, 2), sizes=(6, 4)).trainer.train(job, sent)[0]["w"]
    torch.testing.assert_close(lie - base, base - honest)


def test_wrong_labels_are_those_of_the_liars():
    given = {"optimizer": torch.optim.SGD, "sizes": (6, 4)}
    labels = []

    def loss(logits, seen):
        labels.append(seen.tolist())
        return torch.nn.functional.cross_entropy(logits, seen)

    faults = Faults(byzantine=0.5, attack={"name": "label_flip"})
    [liar] = byzantine(faults, 0, 2)
    for strategy in (FedAvg(), afflict(FedAvg(), faults, LabelFlip(), 0, 2)):
        parts = federation(strategy=strategy, loss=loss, **given)
        for client in (liar, 1 - liar):
            parts.train(client)
    quarter = len(labels) // 2
    honest, lying = labels[:quarter], labels[quarter:]
    steps = sum(honest[k] != lying[k] for k in range(quarter))
    flipped = [[2 - label for label in batch] for batch in honest]
    liars_steps = 2 * math.ceil((6, 4)[liar] / 4)
    assert lying[:liars_steps] == flipped[:liars_steps] and lying[liars_steps:] == honest[liars_steps:]
    assert steps > 0


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.2, 10), (0.05, 2), (1.0, 50)])
def test_who_lies_follows_from_seed_and_share(share, count):
    faults = Faults(byzantine=share)
    liars = byzantine(faults, 3, 50)
    assert len(liars) == count and liars <= set(range(50))
    assert byzantine(faults, 3, 50) == liars
    assert count in (0, 50) or byzantine(faults, 4, 50) != liars
    assert byzantine(None, 3, 50) == frozenset()


def test_a_damaged_upload_has_few_bits_turned():
    value = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    before = value.clone()
    hurt = with_bits_turned(value, np.random.default_rng(0))
    assert hurt.shape == value.shape and torch.equal(value, before)
    turned = hurt.view(torch.int32) ^ value.view(torch.int32)
    changed = turned[turned != 0].tolist()
    assert len(changed) == 5 and all((bits & 0xFFFFFFFF).bit_count() == 1 for bits in changed)
    assert torch.isfinite(with_bits_turned(torch.tensor(1.0), np.random.default_rng(1))).dim() == 0


class Told(Given):
    """The same, with a word about it, that keeps what it says at home."""

    uploads = {"w": "each", "word": "bytes"}  # noqa: RUF012

    def local(self, fit, sent, client):
        return {**super().local(fit, sent, client), "word": torch.arange(4, dtype=torch.uint8)}


def test_bytes_stay_whole():
    uploads = damage(Told(), Faults(corrupt=1.0)).local(None, {"w": torch.zeros(2)}, Someone())
    assert uploads["w"].tolist() != [3.0, 4.0] and uploads["word"].tolist() == [0, 1, 2, 3]


def test_what_is_damaged_on_its_way_is_not_what_the_client_remembers():
    given = {"faults": {"corrupt": 1.0}, "communication": {"compression": "fp16"}}
    strategy, whole = build(**given).strategy, feed_back(FedAvg(), "fp16", Half())
    left = []
    for one in (strategy, whole):
        parts = federation(strategy=one)
        client = parts.trainer.client(parts.jobs()[0], {})
        one.local(lambda w: w + 0.1, {"w": parts.world.initial}, client)
        left.append(client.state["left of w"])
    assert torch.equal(*left)


def test_a_damaged_update_may_go_too_far():
    strategy = build(faults={"corrupt": 1.0}, server={"max_norm": 1e-3}).strategy
    with pytest.raises(TrainingError, match=r"server\.max_norm = 0\.001"):
        for version in range(20):
            client = Someone(version=version)
            client.stream = lambda purpose, version=version: np.random.default_rng(version)
            strategy.local(lambda w: w.clone(), {"w": torch.ones(2)}, client)


def test_the_share_of_damaged_updates():
    faults = Faults(corrupt=0.25)
    jobs = [Job(client, version, 0.0, 1.0, 1, 1, 1) for client in range(50) for version in range(40)]
    hit = [damaged(faults, 0, job) for job in jobs]
    assert 0.22 < np.mean(hit) < 0.28
    assert hit == [damaged(faults, 0, Someone(job.client, job.version)) for job in jobs]  # as the client itself finds
    assert not any(damaged(None, 0, job) or damaged(Faults(), 0, job) for job in jobs)


def test_lost_and_late_updates_are_on_the_clock_alone():
    spec = JobSpec.parse({**JOB, "faults": {"drop": 0.3, "late": 0.5, "delay": 7.0}}, "job.toml")
    devices, plain = build_devices(spec, 10, 0.0), build_devices(JobSpec.parse(JOB, "job.toml"), 10, 0.0)
    jobs = [(client, version, 0) for client in range(10) for version in range(100)]
    assert 0.26 < np.mean([devices.drops(*job) for job in jobs]) < 0.34
    assert {devices.lateness(*job) for job in jobs} == {0.0, 7.0}
    assert 0.45 < np.mean([devices.lateness(*job) / 7 for job in jobs]) < 0.55
    assert not any(plain.drops(*job) or plain.lateness(*job) for job in jobs)
    world = build(faults={"late": 0.5, "delay": 7.0}).world
    late = [world.job(client, 0, 0.0).finish - build().world.job(client, 0, 0.0).finish for client in range(10)]
    assert set(late) == {0.0, 7.0}


def test_a_late_update_misses_the_deadline():
    parts = build(schedule={"deadline": 20.0}, faults={"late": 0.3, "delay": 50.0})
    steps = plan(parts.schedule, parts.world)
    assert {status for step in steps for _, status in step.lost} == {"straggler"}


def test_what_lies_do_to_a_mean_and_not_to_multi_krum():
    lying = {"byzantine": 0.3, "attack": {"name": "noise", "std": 10.0}}
    honest = {"strategy": {"name": "multi_krum", "byzantine": 3}}
    assert run(build(faults=lying))[0].abs().max() > 3
    assert run(build(faults=lying, **honest))[0].abs().max() < 3


@pytest.mark.parametrize("attack", ["sign_flip", "noise", "label_flip"])
def test_many_clients_as_one_program_lie_alike(attack):
    given = {"faults": {"byzantine": 0.4, "attack": attack}}
    one, many = (run(build(**given, execution=execution))[0] for execution in ("sequential", "batched"))
    torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(one, run(build())[0], atol=1e-3)


def test_two_runs_are_equal_and_no_faults_change_nothing():
    given = {"faults": {"byzantine": 0.3, "corrupt": 0.3, "drop": 0.1}}
    first, cohorts = run(build(**given))
    assert torch.equal(run(build(**given))[0], first)
    assert torch.equal(run(build(faults={}))[0], run(build())[0])
    assert not torch.equal(first, run(build())[0])
    assert any(update.failure for cohort in cohorts for update in cohort.failures)  # a bit of an exponent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faults": {"byzantine": 1.5}}, "faults.byzantine = 1.5: "),
        ({"faults": {"drop": 1.0}}, "faults.drop = 1.0: "),
        ({"faults": {"late": 0.1}}, "faults.delay = 0.0: must be greater than 0 where faults.late is"),
        ({"faults": {"attack": "sign_flp"}}, "faults.attack = 'sign_flp': unknown; did you mean sign_flip"),
        ({"faults": {"attack": {"name": "sign_flip", "scale": 0.0}}}, "faults.attack.scale = 0.0: "),
        ({"faults": {"attack": {"name": "noise", "sdt": 1.0}}}, "faults.attack.sdt: unknown key; did you mean std"),
        (
            {"faults": {"attack": "collections.OrderedDict"}},
            "faults.attack = 'collections.OrderedDict': gives a Ordered",
        ),
        (
            {"faults": {"lie": 0.1}},
            "faults.lie: unknown key; valid: attack, byzantine, corrupt, delay, drop, kill",
        ),
        (
            {"faults": {"kill": [{"rank": 0, "at": 1}]}},
            "faults.kill.0.rank = 0: valid: 1 or more; rank 0 has",
        ),
        ({"faults": {"kill": [{"rank": 1, "at": 0}]}}, "faults.kill.0.at = 0: should be greater than 0"),
        ({"faults": {"kill": [{"rank": 1, "round": 3}]}}, "faults.kill.0.round: unknown key"),
        ({"faults": {"kill": {"rank": 1, "at": 3}}}, "faults.kill = {'rank': 1, 'at': 3}: should be a valid list"),
        (
            {"faults": {"byzantine": 0.5}, "strategy": "fedper"},
            "faults.attack = 'sign_flip': the algorithm uploads body, and neither a model 'w' nor a 'change', so that "
            "clients cannot lie; valid: label_flip",
        ),
        (
            {"faults": {"byzantine": 0.5}, "strategy": "dfedavg"},
            "faults.attack = 'sign_flip': the algorithm's clients send their models to neighbours",
        ),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(JobError) as caught:
        build(**changes)
    assert message in str(caught.value)


KILL = {"rounds": 4, "data": "digits", "faults": {"kill": [{"rank": 2, "at": 3}, {"rank": 1, "at": 2}]}}


@pytest.mark.parametrize(
    ("rounds", "ranks", "message"),
    [
        (4, 1, "faults.kill.0: this run is one process, and would end with it; start several"),
        (4, 2, "faults.kill.0.rank = 2: there is no such rank; valid: 1 to 1"),
        (2, None, "faults.kill.0.at = 3: the job has 2 rounds"),
    ],
)
def test_who_is_to_die_must_be_there(rounds, ranks, message):
    require_mortals(JobSpec.parse(KILL, "job.toml"), 3)
    with pytest.raises(JobError) as caught:
        require_mortals(JobSpec.parse({**KILL, "rounds": rounds}, "job.toml"), ranks)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rank", "made", "version", "dies"),
    [(2, 0, 1, False), (2, 0, 2, True), (2, 0, 3, True), (2, 2, 2, True), (2, 3, 3, False), (1, 0, 1, True),
     (3, 0, 3, False)],
)  # fmt: skip
def test_a_rank_dies_once(rank, made, version, dies):
    begin = mortal(JobSpec.parse(KILL, "job.toml").faults, rank, made)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        begin(())
        begin([Job(5, version, 0.0, 1.0, 8, 1, 1)])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (-signal.SIGKILL if dies else 0)


def test_without_liars_the_algorithm_stays_what_it_is():
    strategy = FedAvg()
    assert afflict(strategy, Faults(), SignFlip(), 0, 10) is strategy


ROBUST = """
rounds = 4
data = {name = "synthetic", samples = 200, test_samples = 20, shape = [1, 4, 4], classes = 3}
partition = {clients = 10}
model = {name = "mlp", hidden = [4]}
client = {batch_size = 8, lr = 0.1}
strategy = {name = "trimmed_mean", beta = 0.2}
faults = {byzantine = 0.2, corrupt = 0.2, drop = 0.1, late = 0.2, delay = 3.0}
"""


def test_the_file_says_who_lied_and_what_was_damaged_on_any_number_of_ranks(launch, tmp_path):
    (tmp_path / "job.toml").write_text(ROBUST)
    found = []
    for ranks in (1, 3):
        done = launch(ranks, "run", "job.toml", "--out", f"{ranks}.h5")
        assert done.returncode == 0, done.stderr
        with open_results(tmp_path / f"{ranks}.h5") as results:
            events = {name: results.events[name] for name in ("step", "client", "version", "finish", "status")}
            found.append([results.clients["byzantine"], results.rounds["accuracy"], *events.values()])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
    faults = Faults(byzantine=0.2, corrupt=0.2)
    assert set(np.flatnonzero(found[0][0])) == byzantine(faults, 0, 10)
    _, client, version, _, status = found[0][2:]
    hurt = [damaged(faults, 0, Job(*job, 0.0, 1.0, 1, 1, 1)) for job in zip(client.tolist(), version.tolist())]
    taken = status == STATUS["corrupted"]
    assert taken.any() and (status == STATUS["dropped"]).any()
    np.testing.assert_array_equal(taken, np.array(hurt) & np.isin(status, [STATUS["ok"], STATUS["corrupted"]]))
