"""Asynchronous and semi-asynchronous runs over real ranks: the same bits, virtual time, real time, trouble."""

import math
from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher
from test_runs_mpi import assert_same, lay_out, run_ok

from hpcfl.results import open_results

BASE = """
rounds = 15
[data]
name = "digits"
[partition]
name = "dirichlet"
clients = 20
beta = 1.0
[model]
name = "algorithms.SlowNet"
[client]
epochs = [1, 2]
batch_size = 16
lr = 0.05
[client.device]
speed = {name = "lognormal", sigma = 0.6}
dropout = 0.1
[server]
timeout_s = 60
"""
OWN = ["schedule={name='synchronous',c_ratio=0.5}", "client.test_size=0.2", "rounds=5"]
"""Synchronous, and the clients' own models are examined."""
SINGLY = "execution='sequential'"
"""Else one rank would train all of the few clients, as one program."""
MODES = {
    "fedasync": ["schedule={name='buffered',num_generator=1,in_flight=6}", "strategy='fedasync'"],
    "fedbuff": ["schedule={name='buffered',num_generator=3,in_flight=6}", "strategy='fedbuff'"],
    "stepasync": [
        "schedule={name='buffered',num_generator=3,choose='no',c_ratio=0.4,acquire_model_delay=1.5}",
        "strategy='stepasync'",
    ],
    "fedat": ["schedule={name='tiered',group={name='latency',tiers=3}}", "strategy={name='fedat',mu=0.1}"],
    "fedavg": ["schedule={name='buffered',num_generator=4,in_flight=8}", "strategy='fedavg'"],
    "twafl": ["schedule={name='synchronous',c_ratio=0.4,first=5}", "strategy={name='twafl',loop=5,deep_rounds=2}"],
    "standalone": [*OWN, "strategy='standalone'"],
    "fedavgplus": [*OWN, "strategy='fedavgplus'", SINGLY],
    "fedper": [*OWN, "strategy='fedper'"],
    "fedrep": [*OWN, "strategy={name='fedrep',head=['3'],head_epochs=1}"],
    "ditto": [*OWN, "strategy='ditto'"],
    "pfedme": [*OWN, "strategy={name='pfedme',local_rounds=2}"],
    "apfl": [*OWN, "strategy={name='apfl',alpha_rate=1.0}"],
    "l2sgd": [*OWN, "strategy='l2sgd'"],
    "cfl": [*OWN, "strategy={name='cfl',tol_1=100,tol_2=0}", "schedule.c_ratio=1", "client.device={}", SINGLY],
    "qffl": [*OWN, "strategy='qffl'", SINGLY],
    "afl": [*OWN, "strategy='afl'", SINGLY],
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return lay_out(tmp_path, BASE)


def given(pairs: list[str]) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_same_bits_on_any_number_of_ranks(launch: Launcher, job: Path, tmp_path: Path, mode: str):
    synchronous = "synchronous" in MODES[mode][0]
    numbers = (1, 3) if synchronous or mode == "fedavg" else (1, 2, 3, 9)
    for ranks in numbers:
        run_ok(launch, ranks, "run", job, *given(MODES[mode]), "--out", f"{ranks}.h5")
    for ranks in numbers[1:]:
        assert_same(tmp_path / "1.h5", tmp_path / f"{ranks}.h5")
    results = open_results(tmp_path / f"{ranks}.h5")
    staleness = results.events["step"] - 1 - results.events["version"]
    assert (staleness.max() > 0) == (not synchronous)
    assert len(set(results.events["rank"]) - {-1}) >= 2
    assert set(results.rounds["step"]) == set(range(1, 6 if "rounds=5" in MODES[mode] else 16))


@pytest.mark.parametrize(
    ("mode", "compression"), [("sync", "{name='qsgd',bits=6}"), ("fedbuff", "{name='topk',share=0.1}")]
)
def test_compressed_uploads_give_the_same_bits_on_any_number_of_ranks(launch, job, tmp_path, mode, compression):
    pairs = [*MODES.get(mode, ["schedule.c_ratio=0.5"]), f"communication.compression={compression}"]
    for ranks in (1, 3):
        run_ok(launch, ranks, "run", job, *given(pairs), "--out", f"{ranks}.h5")
    assert_same(tmp_path / "1.h5", tmp_path / "3.h5")
    results = open_results(tmp_path / "3.h5")
    size = sum(tensor.size for tensor in results.model().values())
    upload = {"sync": size * 6 / 8 + 4 * math.ceil(size / 128), "fedbuff": 8 * round(0.1 * size)}[mode]
    np.testing.assert_array_equal(results.rounds["client_bytes_up"], results.rounds["clients"] * round(upload))
    assert np.all(results.rounds["client_bytes_down"] >= results.rounds["clients"] * 4 * size)
    assert results.rounds["accuracy"][-1] > results.rounds["accuracy"][0]


@pytest.mark.slow
def test_on_the_wall_clock_async_outruns_sync_when_a_rank_is_slow(launch: Launcher, job: Path, tmp_path: Path):
    wall = ["clock='wall'", "client.device={}", "rounds=8", "server.evaluate_every=100"]
    sync = [*wall, "schedule={name='synchronous',c_ratio=0.4}"]
    free = [*wall, "rounds=64", "schedule={name='buffered',num_generator=1,in_flight=8}", "strategy='fedasync'"]
    run_ok(launch, 3, "run", job, *given(sync), "--out", "sync.h5")
    run_ok(launch, 3, "run", job, *given(free), "--out", "async.h5")
    waiting, running = (open_results(tmp_path / f"{name}.h5") for name in ("sync", "async"))
    assert len(waiting.events["step"]) == len(running.events["step"]) == 64
    trained = {rank: int((running.events["rank"] == rank).sum()) for rank in (1, 2)}
    assert trained[2] > trained[1]
    assert (running.events["step"] - 1 - running.events["version"]).max() > 0
    assert waiting.rounds["staleness"].max() == 0
    assert np.all(np.diff(running.rounds["time"]) >= 0)
    # an update that was trained in the first rounds on the slow rank is not waited for
    assert running.rounds["wall"][-1] < waiting.rounds["wall"][-1]


@pytest.mark.slow
def test_a_delay_on_the_wall_clock_is_really_waited_while_the_rank_trains_others(launch, job: Path, tmp_path: Path):
    delays = "client.device={stale=[" + ",".join(["1.0"] + ["0.0"] * 19) + "]}"
    pairs = ["clock='wall'", delays, "rounds=40", "schedule={name='buffered',in_flight=20}", "strategy='fedasync'"]
    run_ok(launch, 2, "run", job, *given(pairs), "--set", "client.epochs=1", "--out", "x.h5")
    events = open_results(tmp_path / "x.h5").events
    took = events["finish"] - events["start"]
    late = events["client"] == 0
    assert late.any()
    assert np.all(took[late] >= 1.0)
    assert (~late).sum() >= 20


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_rank_that_hangs_or_dies_ends_the_job(launch: Launcher, job: Path, tmp_path: Path, how: str):
    pairs = [
        *MODES["fedasync"][:1],
        f"strategy={{name='algorithms.AsyncTrouble',how='{how}'}}",
        "server.timeout_s=5",
        "rounds=60",
    ]
    done = launch(3, "run", job, *given(pairs), "--out", "x.h5")
    assert done.returncode != 0
    if how == "stop":
        assert done.stderr.count("hpcfl: error:") == 1
        assert "rank 1 kept rank 0 waiting for 5 s" in done.stderr
    results = open_results(tmp_path / "x.h5")
    assert not results.finished
    assert len(results.rounds["step"]) >= 1


def test_failed_clients_do_not_end_an_asynchronous_run(launch: Launcher, job: Path, tmp_path: Path):
    pairs = [*MODES["fedasync"][:1], "strategy='algorithms.HalfBroken'"]
    run_ok(launch, 2, "run", job, *given(pairs), "--out", "x.h5")
    results = open_results(tmp_path / "x.h5")
    assert results.finished
    assert len(results.failures["reason"]) > 0
    assert all(client % 2 for client in results.failures["client"])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["schedule={name='buffered',num_generator=9,in_flight=6}"], ["num_generator", "9", "6"]),
        (["client.device.stale=[1.0,2.0]"], ["stale", "2", "20"]),
        (["schedule={name='tiered',group={name='latency',tiers=21}}"], ["tiers", "21"]),
    ],
)
def test_mistakes_are_one_message(launch: Launcher, job: Path, pairs: list[str], words: list[str]):
    done = launch(1, "run", job, *given(pairs))
    assert done.returncode == 2
    assert done.stderr.count("hpcfl: error:") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
