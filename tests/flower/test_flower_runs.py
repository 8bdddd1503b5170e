"""Whole runs with Flower's strategies and clients over real ranks, and what is left of one that fails."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import hpcfl
from hpcfl.jobfile import read
from hpcfl.results import open_results

HERE = Path(__file__).parent
JOB = """
rounds = 2
data = "digits"
model = {name = "mlp", hidden = [8]}
partition = {name = "dirichlet", clients = 6, beta = 0.5}
client = {lr = 0.1, batch_size = 20, test_size = 0.2}
strategy = {name = "fedavg"}
"""
FLWRS = JOB.replace("fedavg", "flwr.server.strategy.FedAvg")
CLIENTS = JOB.replace("lr = 0.1, batch_size = 20, test_size = 0.2", 'app = "flower_clients.app"').replace(
    '"fedavg"', '"flwr.serverapp.strategy.FedAvg", fraction_train = 0.5'
)
WRONG = JOB.replace('"fedavg"', '"cast.Wrong", method = "aggregate_fit", answer = "nan"')


def run(launch, ranks, text, name, *more):
    for module in ("cast.py", "flower_clients.py"):
        shutil.copy(HERE / module, launch.folder)
    (launch.folder / f"{name}.toml").write_text(text)
    done = launch(ranks, "run", f"{name}.toml", "--out", f"{name}.h5", *more)
    return done, launch.folder / f"{name}.h5"


def vector(path):
    with h5py.File(path, locking=False) as file:
        return file["model/2/global/vector"][:]


@pytest.mark.slow
def test_flwrs_fedavg_is_hpcfls_on_any_number_of_ranks(launch):
    pytest.importorskip("flwr")
    (_, usual), (_, one), (done, three) = (
        run(launch, 1, JOB, "usual"), run(launch, 1, FLWRS, "one"), run(launch, 3, FLWRS, "three"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.array_equal(vector(one), vector(three))
    apart = np.linalg.norm(vector(three) - vector(usual)) / np.linalg.norm(vector(usual))
    assert apart < 1e-6
    metrics = [hpcfl.Results(path).metrics for path in (one, three)]
    assert metrics[0].equals(metrics[1])
    assert set(metrics[0].method) == {"fit", "client_evaluate", "aggregate_evaluate"}


@pytest.mark.slow
def test_flower_clients_bring_the_same_from_any_rank(launch):
    pytest.importorskip("flwr")
    (_, one), (done, three) = run(launch, 1, CLIENTS, "one"), run(launch, 3, CLIENTS, "three")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(vector(one), vector(three))
    metrics = [hpcfl.Results(path).metrics for path in (one, three)]
    assert metrics[0].equals(metrics[1])
    told = metrics[0][(metrics[0].method == "fit") & (metrics[0].name == "drawn")]
    assert len(told) == len(set(told.value)) == 6  # each client's own, in both rounds


@pytest.mark.slow
def test_a_strategy_that_fails_ends_the_run_with_one_sentence_and_a_readable_file(launch):
    done, path = run(launch, 3, WRONG, "wrong")
    assert done.returncode == 1
    said = "hpcfl: error: strategy Wrong: aggregate_fit in round 2 gave a model that is not finite (NaN or infinity)"
    assert done.stderr.count("hpcfl: error") == 1 and said in done.stderr
    assert "Traceback" not in done.stderr
    with open_results(path) as found:
        assert found.status == "failed"
        assert found.rounds["step"].tolist() == [1]
        assert set(found.metrics["step"]) <= {0, 1}


@pytest.mark.slow
def test_the_strategy_of_the_docs_runs(launch):
    page = (Path(hpcfl.__file__).parent / "docs/flower.md").read_text("utf-8")
    (launch.folder / "mine.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    done, path = run(launch, 1, JOB.replace('"fedavg"', '"mine.Mine", share = 0.34'), "docs")
    assert done.returncode == 0, done.stderr
    with open_results(path) as found:
        assert found.rounds["clients"].tolist() == [2, 2]


def test_the_project_that_ships_is_a_flower_project():
    folder = HERE.parents[1] / "jobs/flower"
    job = read(str(folder / "flower.toml"))
    assert job.spec.client.app.name == "client_app.app"
    for name in ("client_app.py", "server_app.py", "pyproject.toml"):
        assert "hpcfl" not in (folder / name).read_text()
