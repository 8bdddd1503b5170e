"""Runs that are asked to end: they finish the step in hand, and go on later, on any number of ranks."""

import json
import os
import signal
import stat
from pathlib import Path
from time import time

import h5py
import numpy as np
import pytest
from launcher import Launcher
from test_kill import JOB, MODES, alive, assert_all_the_same, newest, ranks_of, until
from test_runs_mpi import lay_out, run_ok

from hpcfl.results import open_results

ROUNDS = 14
SCONTROL = """#!/bin/sh
echo "$@" >> {calls}
{more}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return lay_out(tmp_path, f"rounds = {ROUNDS}\n{JOB}")


def given(job: Path, out: str, *pairs: str, mode: str = "sync") -> list:
    return ["run", job, *(word for pair in (*MODES[mode], *pairs) for word in ("--set", pair)), "--out", out]


def interrupt(launch: Launcher, ranks: int, number: int, *arguments, rank: int | None = None):
    """Run until there is one more checkpoint than before, and send the signal: to all, or to one rank."""
    folder = launch.folder / f"{arguments[-1]}.checkpoint"
    before, process = newest(folder), launch.start(ranks, *arguments)
    until(lambda: newest(folder) > before or process.poll() is not None)
    os.kill(process.pid if rank is None else ranks_of(process)[rank], number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_stopped_and_resumed_on_other_ranks(launch: Launcher, job: Path, tmp_path: Path, mode: str):
    pairs = ["rounds=60", *(["strategy='scaffold'"] if mode == "sync" else [])]
    run_ok(launch, 1, *given(job, "whole.h5", *pairs, mode=mode))
    for ranks, number, rank in [(2, signal.SIGTERM, None), (3, signal.SIGUSR2, 1), (1, signal.SIGINT, None)]:
        code, said = interrupt(launch, ranks, number, *given(job, "x.h5", *pairs, mode=mode), rank=rank)
        name, expected = signal.Signals(number).name, 75 if number == signal.SIGUSR2 else 128 + number
        assert f"stopped by {name} after round" in said
        assert "go on with: hpcfl run" in said
        assert code == expected or ranks > 1, said
        assert open_results(tmp_path / "x.h5").status == "interrupted"
    said = run_ok(launch, 2, *given(job, "x.h5", *pairs, mode=mode))
    assert "goes on after round" in said
    assert_all_the_same(tmp_path / "whole.h5", tmp_path / "x.h5")
    results = open_results(tmp_path / "x.h5")
    assert [(restart["ranks"], restart["exact"]) for restart in results.restarts] == [(3, True), (1, True), (2, True)]
    assert "finished: all 60 rounds are made" in run_ok(launch, 1, *given(job, "x.h5", *pairs, mode=mode))


@pytest.mark.slow
def test_more_rounds_than_before(launch: Launcher, job: Path, tmp_path: Path):
    for mode in ("sync", "tiered"):
        run_ok(launch, 1, *given(job, f"{mode}.h5", mode=mode))
        run_ok(launch, 1, *given(job, f"{mode}.h5", "rounds=20", mode=mode))
        run_ok(launch, 1, *given(job, f"{mode}-whole.h5", "rounds=20", mode=mode))
        with open_results(tmp_path / f"{mode}.h5") as grown:
            assert grown.models.keys() == {3, 6, 9, 12, 14, 15, 18, 20}
            assert grown.restarts[0]["step"] == 14
        with h5py.File(tmp_path / f"{mode}.h5", "r+") as file:
            del file["model/14"]  # it was the last one then
        assert_all_the_same(tmp_path / f"{mode}-whole.h5", tmp_path / f"{mode}.h5")


def test_on_the_real_clock_the_model_goes_on(launch: Launcher, job: Path, tmp_path: Path):
    wall = ["clock='wall'", "client.device.speed.sigma=0.01", "client.epochs=1"]
    code, _ = interrupt(launch, 2, signal.SIGTERM, *given(job, "x.h5", *wall, mode="async"))
    assert code
    step = newest(tmp_path / "x.h5.checkpoint")
    assert f"goes on after round {step}" in run_ok(launch, 3, *given(job, "x.h5", *wall, mode="async"))
    results = open_results(tmp_path / "x.h5")
    assert list(results.rounds["step"]) == list(range(1, ROUNDS + 1))
    assert list(results.rounds["time"]) == sorted(results.rounds["time"])
    assert not results.restarts[0]["exact"]


def test_a_second_signal_ends_at_once(launch: Launcher, job: Path, tmp_path: Path):
    process = launch.start(1, *given(job, "x.h5", "client.epochs=3000"))
    until(lambda: (tmp_path / "x.h5").exists())
    process.send_signal(signal.SIGTERM)
    said = ""
    while "once more ends it at once" not in said:
        said = process.stdout.readline()
        assert said
    until(lambda: process.poll() is not None or process.send_signal(signal.SIGTERM))
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in process.communicate()[0]
    assert not alive(process.pid)


def slurm(launch: Launcher, more: str = "", **environ: str) -> Path:
    """Let the launcher's processes believe that they are a Slurm job; what scontrol is called with."""
    folder, calls = launch.folder / "bin", launch.folder / "calls"
    folder.mkdir(exist_ok=True)
    (folder / "scontrol").write_text(SCONTROL.format(calls=calls, more=more))
    (folder / "scontrol").chmod(stat.S_IRWXU)
    launch.environ |= {"PATH": f"{folder}:{launch.environ['PATH']}", "SLURM_JOB_ID": "71", **environ}
    return calls


def test_a_job_that_slurm_signals_puts_itself_back_into_the_queue(launch: Launcher, job: Path, tmp_path: Path):
    calls = slurm(launch, SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID="4")
    requeue = "checkpoint.requeue=true"
    code, said = interrupt(launch, 1, signal.SIGUSR2, *given(job, "x.h5", requeue))
    assert code == 0, said
    assert "job 70_4 is back in the queue" in said
    assert calls.read_text() == "requeue 70_4\n"
    code, said = interrupt(launch, 1, signal.SIGTERM, *given(job, "x.h5", requeue))
    assert code == 128 + signal.SIGTERM  # who cancels a job does not want it back
    assert calls.read_text() == "requeue 70_4\n"
    slurm(launch, "echo 'slurm_error: Job/step already completing' >&2; exit 1")
    code, said = interrupt(launch, 1, signal.SIGUSR2, *given(job, "x.h5", requeue))
    assert code == 75
    assert "not put back into the queue: scontrol requeue 70_4: slurm_error: Job/step already completing" in said


def test_the_time_limit_ends_a_run_before_slurm_does(launch: Launcher, job: Path, tmp_path: Path):
    calls = slurm(launch, SLURM_JOB_END_TIME=str(int(time()) + 3600))
    near = ["checkpoint.requeue=true", "checkpoint.margin_s=3600", "checkpoint.every=0"]
    first = launch(1, *given(job, "x.h5", *near))
    assert first.returncode == 0, first.stderr
    assert "stopped by Slurm's time limit after round 1 of 14" in first.stderr
    assert "the time limit hardly leaves room for a round" in first.stderr
    assert calls.read_text() == "requeue 71\n"
    second = launch(1, *given(job, "x.h5", *near))  # a round takes too long, as is known by now
    assert second.returncode == 75
    assert "not put back into the queue: no round was made and kept since the last start" in second.stderr
    marker = json.loads((tmp_path / "x.h5.checkpoint/step-00000001/complete.json").read_text())
    assert (marker["step"], marker["job"]["rounds"]) == (1, ROUNDS)
    with h5py.File(tmp_path / "x.h5.checkpoint/step-00000001/server.h5") as file:
        assert file["state/w"].dtype == "f4"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (["client.lr=0.1", "strategy.mu=1"], 2, ["client.lr: it has 0.05, the job now 0.1", "strategy.params.mu"]),
        (["rounds=1"], 2, ["rounds: it has 2, the job now 1"]),
        (["server.timeout_s=50", "checkpoint.keep=3"], 0, []),
    ],
)
def test_a_checkpoint_of_another_job(launch: Launcher, job: Path, changes: list, code: int, words: list):
    start = ["strategy={name='fedprox',mu=0.5}"]
    run_ok(launch, 1, *given(job, "x.h5", "rounds=2", *start))
    done = launch(1, *given(job, "x.h5", "rounds=2", *start, *changes), "--resume")
    assert done.returncode == code, done.stderr
    assert done.stderr.count("hpcfl: error:") == bool(code)
    for word in words:
        assert word in done.stderr


def test_rounds_that_are_tried_again_have_the_same_bits_on_any_ranks_and_in_a_run_that_goes_on(
    launch: Launcher, job: Path, tmp_path: Path
):
    tried = ["strategy='algorithms.Moody'", "schedule.c_ratio=0.5", "server.min_clients=5", "server.retries=8"]
    tried += ["checkpoint.every=2", "results.keep_every=1"]
    run_ok(launch, 1, *given(job, "whole.h5", "rounds=6", *tried))
    run_ok(launch, 3, *given(job, "x.h5", "rounds=4", *tried))
    run_ok(launch, 1, *given(job, "x.h5", "rounds=6", *tried), "--resume")
    assert_all_the_same(tmp_path / "whole.h5", tmp_path / "x.h5")
    results = open_results(tmp_path / "whole.h5")
    assert results.rounds["clients"].min() >= 5
    said = [reason.partition(", fewer")[0] for reason in results.failures["reason"]]
    assert any(reason.startswith("the round was tried again: ") for reason in said)
    assert any(reason.startswith("ValueError: not in the mood") for reason in said)
    step, version = results.events["step"], results.events["version"]
    assert len(step) > 6 * 6
    np.testing.assert_array_equal(step - 1, version)


def test_nothing_to_resume(launch: Launcher, job: Path, tmp_path: Path):
    done = launch(1, *given(job, "x.h5"), "--resume")
    assert done.returncode == 2
    assert "there is no run to go on with at x.h5" in done.stderr
    blocked = launch(1, *given(job, "x.h5", f"checkpoint.path='{job}/there'"))
    assert blocked.returncode == 2
    assert "cannot write checkpoints to" in blocked.stderr
    assert not list(tmp_path.glob("x.h5*"))
