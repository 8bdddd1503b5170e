"""The clients' own models: each is evaluated on what its client keeps back, and training does not notice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from launcher import Launcher
from test_runs_mpi import assert_same, lay_out, run_ok

from hpcfl.build import assemble
from hpcfl.collective import Collective
from hpcfl.errors import TrainingError
from hpcfl.federation import hold_out
from hpcfl.jobfile import JobFile
from hpcfl.results import open_results
from hpcfl.schema import JobSpec
from hpcfl.strategies import FedAvg
from hpcfl.transport.group import Solo

JOB = {
    "rounds": 2,
    "data": {"name": "synthetic", "samples": 90, "test_samples": 10, "shape": [1, 8, 8], "classes": 3},
    "partition": {"name": "dirichlet", "beta": 0.5, "clients": 5},
    "model": {"name": "mlp", "hidden": [4]},
    "client": {"test_size": 0.25, "lr": 0.1},
}
OWN = """
rounds = 4
[data]
name = "digits"
[partition]
name = "dirichlet"
clients = 12
beta = 0.3
[model]
name = "algorithms.Net"
[client]
epochs = [1, 2]
batch_size = 16
lr = 0.1
test_size = 0.25
[client.device]
speed = {name = "lognormal", sigma = 1.0}
[strategy]
name = "fedbn+fedprox"
mu = 0.1
[schedule]
c_ratio = 0.5
[server]
timeout_s = 60
"""
SCHEDULES = {
    "synchronous": [],
    "buffered": ["--set", "schedule={name='buffered',num_generator=2,c_ratio=0.5}", "--set", "rounds=8"],
}


def parts_of(**changes):
    spec = JobSpec.parse({**JOB, **changes}, "job.toml")
    return assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=False)


def held_back(share, *sizes):
    labels = np.arange(sum(sizes)) % 3
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    return parts, *hold_out(JobSpec.parse({**JOB, "client": {"test_size": share}}, "job.toml"), labels, parts)


def test_a_share_of_every_client_s_samples_is_held_back():
    parts, train, test = held_back(0.25, 40, 8, 2, 1)
    assert [len(part) for part in test] == [10, 2, 1, 0]
    for whole, kept, held in zip(parts, train, test):
        assert sorted([*kept, *held]) == whole.tolist()
    assert np.ptp(np.bincount(test[0] % 3)) <= 1  # every class in proportion
    assert [part.tolist() for part in held_back(0.25, 40, 8, 2, 1)[2]] == [part.tolist() for part in test]


def test_without_a_share_nothing_is_held_back():
    parts, train, test = held_back(0.0, 4, 3)
    assert [part.tolist() for part in train] == [part.tolist() for part in parts]
    assert [len(part) for part in test] == [0, 0]
    assert parts_of(client={}).world.held_out is None


def test_a_client_does_not_train_on_what_it_holds_back():
    parts = parts_of()
    assert (parts.world.counts.sum(1) + parts.world.held_out).sum() == 90
    for client in range(5):
        index = parts.trainer.client(parts.world.job(client, 0, 0.0), {}).index
        assert len(index) == parts.world.counts[client].sum()


def test_the_model_that_is_examined_is_the_one_that_personal_gives():
    parts = parts_of(strategy="fedavg")
    trainer, world = parts.trainer, parts.world
    w = torch.randn(world.layout.size, generator=torch.Generator().manual_seed(0))
    loss, accuracy = trainer.examine(world.job(1, 3, 0.0), {"w": w}, after=0)
    index = torch.from_numpy(trainer._held_out[1])
    x, labels = trainer.samples.batch(index)
    world.layout.bind(trainer.module, w.clone())
    logits = trainer.module.eval()(x)
    assert accuracy == (logits.argmax(1) == labels).double().mean().item()
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)


def test_a_client_that_holds_nothing_back_has_no_accuracy():
    parts = parts_of()
    parts.trainer._held_out[2] = np.zeros(0, np.int64)
    assert np.isnan(parts.trainer.examine(parts.world.job(2, 0, 0.0), {"w": parts.world.initial}, after=0)).all()


class Broken(FedAvg):
    """Its `personal` fails."""

    def personal(self, fit, sent, client):
        return sent["nope"]


def test_a_personal_that_fails_says_whose_and_where():
    parts = parts_of(strategy=f"{__name__}.Broken")
    pool = Collective(Solo(), parts.trainer, parts.world, reproducible=True)
    jobs = [parts.world.job(client, 3, 0.0) for client in range(5)]
    with pytest.raises(TrainingError, match="client 0's own model failed after step 3: KeyError: 'nope'.*test_own_mod"):
        pool.examine(jobs, lambda client: {"w": parts.world.initial}, dict.fromkeys(range(5), 0))


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_where_nobody_can_hold_anything_back_nobody_is_asked(launch: Launcher, tmp_path: Path, schedule: str):
    text = OWN.replace('name = "dirichlet"', 'name = "iid"').replace("beta = 0.3", f"amounts = {[1] * 12}")
    job = lay_out(tmp_path, text.replace("algorithms.Net", "mlp").replace("fedbn+fedprox", "fedprox"))
    for ranks in (1, 2):
        run_ok(launch, ranks, "run", job, *SCHEDULES[schedule], "--out", f"{ranks}.h5")
        assert np.isnan(open_results(tmp_path / f"{ranks}.h5").rounds["client_accuracy"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_own_models_have_the_same_bits_on_any_number_of_ranks(launch: Launcher, tmp_path: Path, schedule: str):
    job, given = lay_out(tmp_path, OWN), SCHEDULES[schedule]
    for ranks in (1, 3):
        said = run_ok(launch, ranks, "run", job, *given, "--out", f"{ranks}.h5")
        assert "clients' own 0." in said
    seldom = [*given, "--set", "server.evaluate_every=1000"]
    run_ok(launch, 1, "run", job, *seldom, "--out", "seldom.h5")
    assert_same(tmp_path / "1.h5", tmp_path / "3.h5")
    one, three, last = (open_results(tmp_path / f"{name}.h5") for name in ("1", "3", "seldom"))
    steps = len(one.rounds["step"])
    assert one.own["step"].tolist() == list(range(1, steps + 1))
    assert one.own["accuracy"].shape == (steps, 12)
    for name in ("loss", "accuracy"):
        np.testing.assert_array_equal(one.own[name], three.own[name])
        np.testing.assert_array_equal(one.own[name][-1:], last.own[name])
    held_out, accuracy = one.clients["held_out"], one.own["accuracy"]
    asked = held_out > 0
    mean = (accuracy[:, asked] * held_out[asked]).sum(1) / held_out.sum()
    np.testing.assert_allclose(one.rounds["client_accuracy"], mean, rtol=1e-12)
    np.testing.assert_array_equal(one.rounds["client_accuracy_low"], np.quantile(accuracy[:, asked], 0.1, axis=1))
    np.testing.assert_array_equal(one.model()["0.weight"], last.model()["0.weight"])
