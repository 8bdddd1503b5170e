"""Neighbours over real ranks: the same bits on any number of them, and after a pause; and an end where one hangs."""

from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher
from test_runs_mpi import lay_out, run_ok

from hpcfl.results import open_results

JOB = """
rounds = 4
data = {name = "synthetic", samples = 240, test_samples = 20, shape = [1, 6, 6], classes = 3}
partition = {name = "cluster_dirichlet", clients = 9, beta = 0.5, clusters = 2}
model = {name = "mlp", hidden = [4]}
strategy = {name = "algorithms.Neighbourly", n_learners = 2, p = 0.4}
schedule = {c_ratio = 0.8}
[client]
batch_size = 16
lr = 0.1
test_size = 0.25
test_clients = 2
device = {dropout = 0.1}
[server]
timeout_s = 10
evaluate_every = 2
[checkpoint]
every = 1
resume = "auto"
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return lay_out(tmp_path, JOB)


@pytest.mark.slow
def test_the_same_bits_on_any_ranks_and_after_a_pause(launch: Launcher, job: Path, tmp_path: Path):
    run_ok(launch, 1, "run", job, "--out", "whole.h5")
    run_ok(launch, 3, "run", job, "--out", "x.h5", "--set", "rounds=2")
    assert "goes on after round 2" in run_ok(launch, 4, "run", job, "--out", "x.h5")
    whole, resumed = open_results(tmp_path / "whole.h5"), open_results(tmp_path / "x.h5")
    assert resumed.restarts[0]["exact"]
    assert whole.models == {4: ["learner0", "learner1"]}
    for name in whole.models[4]:
        first, second = whole.model(4, name), resumed.model(4, name)
        assert all(np.array_equal(first[tensor], second[tensor]) for tensor in first)
    assert np.array_equal(whole.state("pi"), resumed.state("pi"))
    for name in ("step", "accuracy", "train_loss", "client_accuracy", "unseen_accuracy", "failures",
                 "client_bytes_up", "client_bytes_down"):  # fmt: skip
        np.testing.assert_array_equal(whole.rounds[name], resumed.rounds[name], err_msg=name)
    assert [reason.partition(" (")[0] for reason in whole.failures["reason"]] == ["ValueError: client 3 has no power"]
    # rank 0 sends nobody anything but the mean to those who never train, where they are examined
    size = 4 * sum(tensor.size for tensor in first.values()) * 2
    assert resumed.rounds["bytes_down"].tolist() == [0, size, 0, size]
    pis = whole.rounds["clients"] * 2 * 4
    between = resumed.rounds["bytes_up"] - pis - 2 * size
    assert (between > 0).all()
    assert (between % size == 0).all()
    # every edge has a model each way; among ranks one goes to each rank that needs it, however many edges lead there
    assert (whole.rounds["client_bytes_up"] == whole.rounds["client_bytes_down"]).all()
    assert (between <= whole.rounds["client_bytes_up"]).all()
    assert whole.rounds["bytes_up"].sum() == whole.rounds["bytes_down"].sum() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("how", "said"), [("stop", "died or hangs"), ("wait", "kept the others waiting for 10 s")])
def test_a_rank_that_neighbours_wait_for_is_named(launch: Launcher, job: Path, tmp_path: Path, how: str, said: str):
    done = launch(4, "run", job, "--set", f"strategy.how='{how}'", "--out", "x.h5")
    assert done.returncode != 0
    assert done.stderr.count("hpcfl: error:") == 1
    assert f"hpcfl: error: rank 2 {said}" in done.stderr
    np.testing.assert_array_equal(open_results(tmp_path / "x.h5").rounds["step"], [1, 2])
