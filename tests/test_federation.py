"""How a job's clients come about: their number, whatever names it, and their shares, there and back."""

import numpy as np
import pytest
import torch

from hpcfl.build import assemble
from hpcfl.errors import HpcflError
from hpcfl.federation import foresee
from hpcfl.jobfile import JobFile
from hpcfl.results import open_results
from hpcfl.schema import JobSpec

SAMPLES = 60
HOLDERS = np.repeat(np.arange(6), [20, 5, 10, 1, 9, 15])


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Sixty samples of six writers, in a .npz in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPCFL_DATA", raising=False)
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.random((SAMPLES, 4), np.float32), "y_train": np.arange(SAMPLES) % 3}
    np.savez("writers.npz", **arrays, x_test=arrays["x_train"][:6], y_test=arrays["y_train"][:6], holders=HOLDERS)
    return tmp_path


def job(partition, **changes):
    table = {"rounds": 2, "data": {"name": "npz", "path": "writers.npz"}, "model": {"name": "mlp", "hidden": []}}
    return JobFile("", JobSpec.parse({**table, "partition": partition, **changes}, "job.toml"), None)


def parts(partition, **changes):
    return assemble(job(partition, **changes), torch.device("cpu"), trains=False, serves=False)


def complaint(partition, **changes):
    with pytest.raises(HpcflError) as caught:
        foresee(job(partition, **changes))
    return str(caught.value)


LABELS = {"name": "labels", "labels": {"step": 1, "list": [5, 5], "shuffle": True}}


@pytest.mark.parametrize(
    ("partition", "clients"),
    [
        ("iid", 10),
        ({"clients": 7}, 7),
        (LABELS, 10),
        ("natural", 6),
        ({"name": "natural", "clients": 4}, 4),
        ({"name": "natural", "min_examples": 10}, 3),
        ({"name": "file", "path": "owner.npy"}, 2),
        ({"name": "file", "path": "owner.npy", "clients": 2}, 2),
        (f"{__name__}.by_turns", 10),
    ],
)
def test_everyone_knows_how_many_clients_there_are(partition, clients):
    np.save("owner.npy", np.arange(SAMPLES) % 2)
    delays = {"client": {"device": {"stale": [1.0] * clients, "speed": {"name": "lognormal", "sigma": 1.0}}}}
    built, (_, foreseen) = parts(partition, **delays), foresee(job(partition, **delays))
    for world in (built.world, foreseen):
        assert world.clients == len(world.devices.step_s) == clients
        assert world.devices.delay_s.tolist() == [1.0] * clients
        assert np.ptp(world.devices.step_s) > 0
    assert np.array_equal(built.world.counts, foreseen.counts)
    assert len(built.owner) == SAMPLES
    assert np.bincount(built.owner[built.owner >= 0]).tolist() == built.world.counts.sum(1).tolist()
    few = {"server": {"min_clients": clients + 1}}
    assert (
        complaint(partition, **few) == f"server.min_clients = {clients + 1}: more than the {clients} clients there are"
    )


def by_turns(labels, clients, rng):
    return np.arange(len(labels)) % clients


def test_natural_clients_hold_what_is_theirs():
    built = parts("natural")
    assert built.owner.tolist() == HOLDERS.tolist()
    assert built.owner.dtype == np.int32


@pytest.mark.parametrize("partition", ["natural", {"name": "iid", "clients": 6}, {"name": "iid", "clients": 1}])
def test_pooled_data_is_one_client_s(partition):
    built = parts(partition, strategy="centralized", client={"device": {"stale": [1.0] * 6}})
    assert built.owner.tolist() == [0] * SAMPLES
    assert built.world.devices.delay_s.tolist() == [0.0]


@pytest.mark.parametrize("test_size", [0.0, 0.25])
def test_slices_are_the_client_s_samples_in_turn(test_size):
    given = {"client": {"slices": 4, "test_size": test_size, "batch_size": 2, "epochs": 2}}
    whole = {"client": {**given["client"], "slices": 1}}
    partition = {"name": "iid", "clients": 3}
    built = assemble(job(partition, **given), torch.device("cpu"), trains=True, serves=False)
    once = assemble(job(partition, **whole), torch.device("cpu"), trains=True, serves=False)
    _, foreseen = foresee(job(partition, **given))
    for client in range(3):
        jobs = [built.world.job(client, version, 0.0) for version in range(4)]
        assert jobs == [foreseen.job(client, version, 0.0) for version in range(4)]
        slices = []
        for each in jobs:
            _, fit = built.trainer.train(each, {"w": built.world.initial})
            assert (fit.steps, fit.examples) == (each.steps, 2 * each.examples)
            slices.append(fit.client.index.tolist())
            assert slices[-1] == sorted(slices[-1]) == built.trainer.places(each).tolist()
        assert sorted(sum(slices, [])) == sorted(once.trainer.holdings[client][0].tolist())
        assert sum(slices, []) != sorted(sum(slices, []))
    again = assemble(job(partition, **given), torch.device("cpu"), trains=True, serves=False)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(built.trainer.holdings, again.trainer.holdings))


def test_every_slice_has_a_sample():
    built = parts("natural", client={"slices": 1}).world
    assert built.span(3, 0) == (0, 1)
    assert complaint("natural", client={"slices": 2}) == "client.slices = 2: client 3 has only 1 training samples"


def test_slices_of_clients_that_train_together():
    made = {}
    for execution in ("sequential", "batched"):
        given = {"execution": execution, "client": {"slices": 4, "batch_size": 2}}
        built = assemble(job({"clients": 3}, **given), torch.device("cpu"), trains=True, serves=False)
        jobs = [built.world.job(client, 6, 0.0) for client in range(3)]
        sent = {"w": built.world.initial}
        if execution == "batched":
            made[execution] = built.execution.batched.train(jobs, [sent] * 3).uploads["w"]
        else:
            made[execution] = torch.stack([built.trainer.train(each, sent)[0]["w"].clone() for each in jobs])
    assert torch.allclose(made["sequential"], made["batched"], atol=1e-6)
    assert not torch.allclose(made["sequential"][0], made["sequential"][1])


def test_ranks_that_were_dealt_other_samples_differ():
    np.save("owner.npy", np.arange(SAMPLES) % 2)
    first = parts({"name": "file", "path": "owner.npy"}).fingerprint
    np.save("owner.npy", (np.arange(SAMPLES) + 1) % 2)
    assert parts({"name": "file", "path": "owner.npy"}).fingerprint != first


def test_the_job_says_10_unless_the_data_do():
    assert JobSpec.parse({"rounds": 1, "data": "digits"}, "job.toml").resolved()["partition"]["clients"] == 10
    for name in ("natural", "file"):
        assert job(name).spec.partition.clients is None
        assert job({"name": name, "clients": 3}).spec.partition.clients == 3


def test_a_dataset_without_holders_has_no_natural_clients():
    assert "does not say whom its samples come from" in complaint("natural", data={"name": "synthetic", "samples": 60})


JOB = """
rounds = 2
seed = 5
data = "digits"
model = "mlp"
partition = {name = "dirichlet", clients = 12, beta = 0.3}
client = {batch_size = 64}
schedule = {c_ratio = 0.5}
"""


def test_a_run_can_be_given_the_clients_of_another(launch, data):
    (data / "a.toml").write_text(JOB)
    again = ("--set", 'partition={name = "file", path = "a.h5"}')
    for name, more in (("a.h5", ()), ("b.h5", again)):
        done = launch(1, "run", "a.toml", "--out", name, *more)
        assert done.returncode == 0, done.stderr
    with open_results(data / "a.h5") as a, open_results(data / "b.h5") as b:
        assert np.array_equal(a.partition, b.partition)
        assert np.bincount(a.partition).tolist() == a.clients["examples"].tolist()
        for name in ("examples", "classes"):
            assert np.array_equal(a.clients[name], b.clients[name])
        for name, values in a.model().items():
            assert values.tobytes() == b.model()[name].tobytes()
    done = launch(1, "validate", "a.toml", *again, "--set", "data=synthetic")
    assert done.stderr == (
        "hpcfl: error: partition.path = 'a.h5': deals 1,437 training samples, but this dataset has 6,000; "
        "give the data of that run\n"
    )
