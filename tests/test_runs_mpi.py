"""Whole runs over real ranks: the same bits on any number of them, and an end for every trouble."""

import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from launcher import Launcher, mpirun

from hpcfl.results import open_results

EVENTFUL = """
rounds = 3
[data]
name = "digits"
transform = {name = "crop_flip", padding = 1}
[partition]
name = "dirichlet"
clients = 12
beta = 1.0
[model]
name = "algorithms.Net"
[client]
epochs = [1, 2]
batch_size = 16
lr = 0.05
optimizer = {name = "sgd", momentum = 0.9}
lr_schedule = "cosine"
[strategy]
name = "algorithms.Eventful"
[schedule]
c_ratio = 0.7
[server]
timeout_s = 60
"""
TROUBLE = EVENTFUL.replace("algorithms.Eventful", "algorithms.Trouble").replace("timeout_s = 60", "timeout_s = 6")
SAME = ["step", "client", "version", "start", "finish", "examples", "steps", "loss", "status"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return lay_out(tmp_path, EVENTFUL)


def lay_out(folder: Path, text: str) -> Path:
    """A job file, with the algorithms that it names beside it."""
    shutil.copy(Path(__file__).with_name("algorithms.py"), folder)
    path = folder / "job.toml"
    path.write_text(text)
    return path


def bits(path: Path) -> dict[str, np.ndarray]:
    """Everything of a result file that must not depend on ranks."""
    results = open_results(path)
    numbers = "step", "time", "accuracy", "loss", "train_loss", "failures", "client_loss", "client_accuracy"
    facts = {f"model {name}": tensor for name, tensor in results.model().items()}
    facts |= {name: results.rounds[name] for name in numbers}
    facts |= {f"event {name}": results.events[name] for name in SAME}
    return facts | {"reason": results.failures["reason"]}


def assert_same(one: Path, other: Path) -> None:
    first, second = bits(one), bits(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def run_ok(launch: Launcher, ranks: int, *arguments: object) -> str:
    done = launch(ranks, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_same_bits_on_1_2_3_and_9_ranks(launch: Launcher, job: Path, tmp_path: Path):
    for ranks in (1, 2, 3, 9):
        run_ok(launch, ranks, "run", job, "--out", f"{ranks}.h5")
    for ranks in (2, 3, 9):
        assert_same(tmp_path / "1.h5", tmp_path / f"{ranks}.h5")
    results = open_results(tmp_path / "3.h5")
    reasons = {reason.partition(" (")[0] for reason in results.failures["reason"]}
    assert reasons == {"ValueError: client 3 has no power", "non-finite values in the upload 'w'"}
    size = sum(tensor.size for tensor in results.model().values() if tensor.dtype == np.float32)
    heads = results.rounds["clients"] * 5 * 4
    np.testing.assert_array_equal(results.rounds["bytes_down"], 4 * size)
    np.testing.assert_array_equal(results.rounds["bytes_up"], 8 * size + 8 + heads)
    assert set(results.events["rank"]) == {1, 2}
    assert open_results(tmp_path / "1.h5").rounds["bytes_up"].sum() == 0


def test_traffic_is_one_model_each_way_whatever_the_number_of_clients(launch: Launcher, tmp_path: Path):
    for clients in (3, 40):
        run_ok(launch, 3, "run", "--set", "rounds=2", "--set", f"partition.clients={clients}", "--out", f"{clients}.h5")
    few, many = (open_results(tmp_path / f"{clients}.h5").rounds for clients in (3, 40))
    for name, width in (("bytes_down", 4), ("bytes_up", 8)):
        np.testing.assert_array_equal(few[name], many[name])
        assert set(few[name]) == {8234 * width}


def test_more_ranks_than_clients(launch: Launcher, tmp_path: Path):
    given = ["run", "--set", "rounds=2", "--set", "partition.clients=2", "--set", "schedule.c_ratio=0.5"]
    run_ok(launch, 4, *given, "--out", "4.h5")
    run_ok(launch, 1, *given, "--out", "1.h5")
    assert_same(tmp_path / "1.h5", tmp_path / "4.h5")


def test_one_message_for_a_mistake_and_every_rank_ends(launch: Launcher, tmp_path: Path):
    done = launch(3, "run", "--set", "rouns=4", "--set", "client.lr=-1")
    assert done.returncode != 0
    assert done.stderr.count("hpcfl: error:") == 1
    assert "rouns: unknown key; did you mean rounds?" in done.stderr
    assert "client.lr = -1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.h5"))


def test_ranks_that_disagree_on_the_job(launch: Launcher, tmp_path: Path):
    run = launch.command(1, "run", "--out", "x.h5", "--set")
    done = launch.run([*mpirun(), "-np", "2", *run, "seed=1", ":", "-np", "1", *run, "seed=2"])
    assert done.returncode != 0
    assert "rank 2 does not have the same job" in done.stderr
    assert not (tmp_path / "x.h5").exists()


def test_no_client_left(launch: Launcher, job: Path, tmp_path: Path):
    done = launch(2, "run", job, "--set", "strategy=algorithms.Unlucky", "--out", "x.h5")
    assert done.returncode == 1
    assert done.stderr.count("hpcfl: error:") == 1
    assert "step 1: 8 of 8 clients failed" in done.stderr
    assert "RuntimeError: no client works (algorithms.py:" in done.stderr
    results = open_results(tmp_path / "x.h5")
    assert not results.finished
    assert len(results.failures["reason"]) == 8


@pytest.mark.slow
def test_a_rank_that_hangs_is_named_where_models_go_through_memory(launch: Launcher, job: Path, tmp_path: Path):
    job.write_text(TROUBLE)
    wide = ["--set", "model={name='mlp',hidden=[1200]}", "--set", "schedule.c_ratio=1"]
    done = launch(3, "run", job, "--set", "strategy.how='stop'", *wide, "--out", "x.h5")
    assert done.returncode != 0
    assert "hpcfl: error: rank 1 died or hangs" in done.stderr
    np.testing.assert_array_equal(open_results(tmp_path / "x.h5").rounds["step"], [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill", "raise outside"])
def test_a_rank_that_hangs_or_dies_ends_the_job(launch: Launcher, job: Path, tmp_path: Path, how: str):
    job.write_text(TROUBLE)
    done = launch(3, "run", job, "--set", f"strategy.how='{how}'", "--set", "schedule.c_ratio=1", "--out", "x.h5")
    assert done.returncode != 0
    if how == "stop":  # mpirun itself reports the other two, and ends everybody before rank 0 can
        assert done.stderr.count("hpcfl: error:") == 1
        assert "died or hangs" in done.stderr
    np.testing.assert_array_equal(open_results(tmp_path / "x.h5").rounds["step"], [1, 2])


@pytest.mark.parametrize(("ranks", "number"), [(1, signal.SIGINT), (3, signal.SIGINT), (3, signal.SIGTERM)])
def test_signals_end_all_ranks_with_a_readable_file(launch: Launcher, tmp_path: Path, ranks: int, number: int):
    process = launch.start(ranks, "run", "--set", "rounds=100000", "--out", "x.h5")
    said = ""
    while "accuracy" not in said:
        said = process.stdout.readline()
        assert said, "ended before the first round"
    process.send_signal(number)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode != 0
    if ranks == 1 or len(mpirun()) == 1:  # Open MPI's mpirun ends before its ranks do, and passes nothing on
        assert f"stopped by {signal.Signals(number).name} after round" in rest
        with h5py.File(tmp_path / "x.h5", "r+") as file:
            assert "end_time" not in file
    results = open_results(tmp_path / "x.h5")
    assert not results.finished
    assert len(results.rounds["step"]) >= 1


@pytest.mark.slow
def test_torchrun(launch: Launcher, tmp_path: Path):
    torchrun = [launch.command(1)[0], "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29519"]
    done = launch.run([*torchrun, "-m", "hpcfl", "run", "--set", "rounds=2", "--out", "torchrun.h5"])
    assert done.returncode == 0, done.stderr
    run_ok(launch, 1, "run", "--set", "rounds=2", "--out", "1.h5")
    assert_same(tmp_path / "1.h5", tmp_path / "torchrun.h5")
    assert (
        "torchrun"
        in subprocess.run(
            launch.command(1, "show", "torchrun.h5"), cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
    )


@pytest.mark.slow
def test_doctor_and_bench_over_ranks(launch: Launcher):
    said = run_ok(launch, 3, "doctor")
    assert "ranks      3" in said
    assert "gloo" in said
    assert "broadcast, ms" in said
    assert '"ratio"' in run_ok(launch, 3, "bench", "traffic", "async", "--repeats", 1, "--json")
