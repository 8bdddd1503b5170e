"""FedEM as a whole: it finds the mixture, beats who does not look for one, and gives the same bits on any ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from launcher import Launcher

from hpcfl.build import assemble
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.data.mixture import recovery_error, true_mixtures
from hpcfl.errors import JobError
from hpcfl.federation import build_world
from hpcfl.jobfile import JobFile
from hpcfl.results import open_results
from hpcfl.schedule import Synchronous
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

CLIENTS = 50
MIXED = {
    "rounds": 40,
    "data": {"name": "mixture", "clients": CLIENTS, "dimension": 30, "test_samples": 10},
    "partition": "natural",
    "model": {"name": "mlp", "hidden": []},
    "client": {"batch_size": 128, "lr": 2.0, "test_size": 0.2},
    "schedule": {"c_ratio": 1.0},
}
SMALL = """
rounds = 2
data = {name = "synthetic", samples = 200, test_samples = 20, shape = [1, 6, 6], classes = 3}
partition = {name = "cluster_dirichlet", clients = 7, beta = 0.5, clusters = 2}
model = {name = "mlp", hidden = [4]}
client = {batch_size = 16, lr = 0.1, test_size = 0.25, test_clients = 2}
strategy = "STRATEGY"
schedule = {c_ratio = 0.8}
server = {timeout_s = 100}
"""


def outcome(strategy: str) -> tuple[float, dict[str, torch.Tensor]]:
    """The clients' mean accuracy on their held-out samples after all rounds, and the server's state."""
    spec = JobSpec.parse({**MIXED, "strategy": strategy}, "job.toml")
    parts = assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=False)
    pool = Collective(Solo(), parts.trainer, parts.world, True, parts.batched)
    state = parts.strategy.init(parts.world)
    for version in range(spec.rounds):
        jobs = tuple(parts.world.job(client, version, 0.0) for client in range(CLIENTS))
        pool.submit(jobs, lambda client, state=state: parts.strategy.send(state, client))
        state = parts.strategy.combine(state, pool.collect(Step(version + 1, 0.0, jobs, ())))
    after = dict.fromkeys(range(CLIENTS), spec.rounds)
    found = pool.examine(jobs, lambda client: parts.strategy.send(state, client), after)
    accuracy = [found[client][1] for client in range(CLIENTS)]
    return float(np.average(accuracy, weights=parts.world.held_out)), state


@pytest.mark.slow
def test_fedem_beats_fedavg_and_standalone_and_recovers_the_mixture():
    (fedem, state), (fedavg, _), (standalone, _) = map(outcome, ("fedem", "fedavg", "standalone"))
    true = true_mixtures(CLIENTS)
    error = recovery_error(state["pi"].numpy(), true)
    blind = recovery_error(np.full_like(true, 1 / 3), true)
    print(f"\nFedEM {fedem:.3f}, FedAvg {fedavg:.3f}, Standalone {standalone:.3f}; pi: {error:.3f} of {blind:.3f}")
    assert fedem > max(fedavg, standalone) + 0.02
    assert error < 0.6 * blind


@pytest.mark.parametrize("strategy", ["fedem", pytest.param("dfedem", marks=pytest.mark.slow)])
def test_the_same_bits_on_one_and_three_ranks(launch: Launcher, tmp_path: Path, strategy: str):
    tmp_path.joinpath("job.toml").write_text(SMALL.replace("STRATEGY", strategy))
    for ranks in (1, 3):
        done = launch(ranks, "run", "job.toml", "--out", f"{ranks}.h5")
        assert done.returncode == 0, done.stderr
    one, three = (open_results(tmp_path / f"{ranks}.h5") for ranks in (1, 3))
    assert one.models == {2: ["learner0", "learner1", "learner2"]}
    for name in one.models[2]:
        first, second = one.model(2, name), three.model(2, name)
        assert all(np.array_equal(first[tensor], second[tensor]) for tensor in first)
    assert one.state("pi").shape == (5, 3)
    assert np.array_equal(one.state("pi"), three.state("pi"))
    for found in (one, three):
        assert found.clients["unseen"].tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert set(found.events["client"]) <= set(range(5))
        assert np.isfinite(found.own["accuracy"]).all()
        held, accuracy = found.clients["held_out"], found.own["accuracy"][-1]
        expected = np.average(accuracy[5:], weights=held[5:])
        assert found.rounds["unseen_accuracy"][-1] == pytest.approx(expected)
        assert found.rounds["client_accuracy"][-1] == pytest.approx(np.average(accuracy[:5], weights=held[:5]))
    assert np.array_equal(one.own["accuracy"], three.own["accuracy"])
    assert np.array_equal(one.rounds["train_loss"], three.rounds["train_loss"])


@pytest.mark.parametrize(
    ("client", "message"),
    [
        ({"test_clients": 2}, "client.test_clients = 2: needs client.test_size greater than 0"),
        (
            {"test_clients": 50, "test_size": 0.2},
            "client.test_clients = 50: must be less than the 50 clients there are",
        ),
    ],
)
def test_clients_that_cannot_be_unseen(client, message):
    with pytest.raises(JobError, match=message):
        spec = JobSpec.parse({**MIXED, "strategy": "fedem", "client": {**client, "batch_size": 128}}, "job.toml")
        assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=False)


def test_who_is_unseen_never_trains():
    spec = JobSpec.parse({**MIXED, "client": {"test_size": 0.2, "test_clients": 2}}, "job.toml")
    world = build_world(spec, Synchronous(c_ratio=1.0), np.full((7, 2), 3), 0.0, pooled=False)
    assert (world.clients, len(world.everyone), world.groups) == (5, 7, (tuple(range(5)),))
    assert world.job(6, 0, 0.0).examples == 6
