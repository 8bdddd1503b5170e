"""`show` tells the essential facts of a run, at 80 columns, at once."""

import io
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from rich.console import Console

from hpcfl.errors import ResultError
from hpcfl.report import show
from hpcfl.results import Writer

JOB = {
    "name": "digits-[fedprox]", "seed": 7, "rounds": 50, "data": {"name": "digits", "params": {}},
    "partition": {"name": "dirichlet", "clients": 4, "params": {"beta": 0.5}}, "model": {"name": "cnn"},
    "client": {"epochs": 5, "batch_size": 10, "lr": 0.1}, "strategy": {"name": "fedprox", "params": {"mu": 0.1}},
}  # fmt: skip
ENVIRONMENT = {
    "hpcfl": "0.1.0", "torch": "2.15.0", "mpi": "MPICH 5.0.2", "launcher": "mpich", "ranks": 3, "backend": "gloo",
    "hosts": ["n1", "n1", "n2"], "devices": ["cpu", "cuda:0", "cuda:0"], "slurm_job_id": "4711", "git_commit": "abc",
}  # fmt: skip


def row(step, accuracy):
    return {
        "step": step, "time": 2.0 * step, "wall": 0.5 * step, "accuracy": accuracy, "loss": 1 / step, "examples": 30,
        "clients": 3, "failures": 0, "bytes_up": 1000, "bytes_down": 3_000_000, "client_bytes_up": 5,
        "client_bytes_down": 5, "training": 0.3, "communicating": 0.1, "aggregating": 0.1, "evaluating": 0.0,
    }  # fmt: skip


def event(client, status="ok", **more):
    return {"client": client, "version": 0, "rank": 1, "examples": 9, "steps": 2, "status": status} | more


def write(path, accuracies, job=JOB, environment=ENVIRONMENT, finish=True, failing=(), behind=0):
    """A run with `accuracies` by step, in which client 1 fails at the steps `failing`; client 2 is `behind` steps."""
    with Writer(path) as writer:
        writer.start("", job, environment, {"examples": np.array([5, 9, 12, 800])})
        for step, accuracy in enumerate(accuracies, 1):
            fails = step in failing
            fresh = {"version": step - 1}
            second = event(1, "failed", reason="the loss is NaN", **fresh) if fails else event(1, **fresh)
            events = [event(0, **fresh), second, event(2, version=max(0, step - 1 - behind))]
            writer.step(row(step, accuracy) | {"failures": int(fails)}, events)
        if finish:
            writer.finish()


def shown(path):
    out = io.StringIO()
    show(path, Console(file=out, width=80, highlight=False))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    return re.sub(" +", " ", text)


def test_what_ran_and_where(tmp_path):
    write(tmp_path / "run.h5", [0.5] * 3)
    text = shown(tmp_path / "run.h5")
    for fact in (
        "run digits-[fedprox]", "strategy fedprox (mu=0.1)", "model cnn", "data digits", "seed 7",
        "partition dirichlet (beta=0.5, clients=4)", "clients 4, 5 to 800 examples each",
        "local training epochs=5, batch_size=10, lr=0.1", "ranks 3 (mpich)", "hosts 2 x n1, n2",
        "devices 2 x cuda:0, cpu", "backend gloo", "slurm job 4711",
        "versions hpcfl 0.1.0, torch 2.15.0, mpi MPICH 5.0.2", "commit abc",
    ):  # fmt: skip
        assert f"{fact} " in text or f"{fact}\n" in text, fact


def test_how_it_went(tmp_path):
    accuracies = [np.nan, 0.25, 0.75, 0.5, np.nan]
    write(tmp_path / "run.h5", accuracies)
    text = shown(tmp_path / "run.h5")
    assert "ended finished, after 5 of 50 rounds" in text
    assert "best accuracy 0.7500 after round 3" in text
    assert "last accuracy 0.5000 after round 4" in text
    assert " 3 6.0 1.5 0.7500 0.3333 - 3" in text
    assert " 5 10.0 2.5 - 0.2000 - 3" in text
    assert "training 1.50 s 60.0%" in text
    assert "aggregating 0.50 s 20.0%" in text
    assert "wall 2.50 s" in text
    assert "between ranks 5.0 kB to the server, 15.0 MB from it" in text
    assert "failures" not in text
    assert "staleness" not in text


def test_the_clients_own_models_are_told_where_there_are_any(tmp_path):
    with Writer(tmp_path / "run.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, {"examples": np.array([5, 9])})
        own = {"client_accuracy": 0.625, "client_accuracy_low": 0.25, "unseen_accuracy": 0.125}
        writer.step(row(1, 0.5) | own)
        writer.step(row(2, 0.75))
    text = shown(tmp_path / "run.h5")
    assert "clients' own 0.6250 on their held-out samples, nine of ten at least 0.2500" in text
    assert "never trained 0.1250 on the held-out samples of clients that only adapt" in text
    assert "accuracy clients' own loss" in text
    write(tmp_path / "other.h5", [0.5])
    assert "clients' own" not in shown(tmp_path / "other.h5")


def test_privacy_is_told_where_it_is_spent(tmp_path):
    spending = {**JOB, "privacy": {"clip": 0.5, "noise": 4.0, "delta": 1e-5}}
    with Writer(tmp_path / "run.h5") as writer:
        writer.start("", spending, ENVIRONMENT, {"examples": np.array([5, 9])})
        writer.step(row(1, 0.5) | {"epsilon": 0.25})
        writer.step(row(2, 0.75) | {"epsilon": 0.4375})
    text = shown(tmp_path / "run.h5")
    assert "privacy epsilon 0.4375 at delta 1e-05 (clip=0.5, noise=4)" in text
    assert "failures" not in text and " epsilon" in text
    write(tmp_path / "other.h5", [0.5])
    assert "epsilon" not in shown(tmp_path / "other.h5")


def test_staleness_is_summed_up(tmp_path):
    write(tmp_path / "run.h5", [0.5] * 4, behind=2)
    text = shown(tmp_path / "run.h5")
    assert "mean 0.42, median 0, 90 % at most 2, most 2" in text  # 0 1 2 2 of client 2, and eight times 0
    assert re.search(r"^ ?0 #{40} 9$", text, re.M)
    assert re.search(r"^ ?2 #{9} 2$", text, re.M)


def test_many_rounds_are_thinned_and_the_best_is_kept(tmp_path):
    accuracies = np.full(500, 0.5)
    accuracies[122] = 0.9
    write(tmp_path / "run.h5", accuracies)
    steps = [
        int(found[1]) for found in re.finditer(r"^ ?(\d+) [\d,.]+ [\d,.]+ 0\.\d+", shown(tmp_path / "run.h5"), re.M)
    ]
    assert len(steps) == 21
    assert (steps[0], steps[-1]) == (1, 500)
    assert 123 in steps
    assert np.diff([step for step in steps if step != 123]).max() <= 27


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"events/version": 99}, "ended finished"),
        ({"events/version": -(2**31)}, "staleness"),
        ({"events/status": 255}, "ended finished"),
        ({"rounds/epsilon": None}, "epsilon unknown at delta"),
        ({"clients/byzantine": 1}, "Byzantine 4 of them: \n"),
    ],
)
def test_odd_numbers_are_shown_as_they_are(tmp_path, odd, says):
    write(tmp_path / "run.h5", [0.5] * 4, job={**JOB, "privacy": {"clip": 0.5, "noise": 4.0, "delta": 1e-5}})
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        for place, value in odd.items():
            if place not in file:
                file[place] = np.full(4, value)
            elif value is None:
                del file[place]
            else:
                file[place][:] = value
    assert says in shown(tmp_path / "run.h5")


def test_failures_are_summed_up_with_their_reasons(tmp_path):
    write(tmp_path / "run.h5", [0.5] * 10, failing=(2, 5))
    text = shown(tmp_path / "run.h5")
    assert "failed 2 of 30 updates, of 1 client" in text
    assert "2 x the loss is NaN" in text


def test_a_run_that_did_not_finish_says_so(tmp_path):
    write(tmp_path / "run.h5", [0.5], finish=False)
    assert "NOT FINISHED: it was interrupted, after 1 of 50 rounds" in shown(tmp_path / "run.h5")


def test_a_run_that_knows_little_of_itself_is_shown(tmp_path):
    write(tmp_path / "run.h5", [np.nan], job={}, environment={})
    text = shown(tmp_path / "run.h5")
    assert "ended finished, after 1 rounds" in text
    assert "accuracy 0" not in text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ResultError, match="there is no file"):
        shown(tmp_path / "nope.h5")


def test_showing_a_run_imports_no_torch(tmp_path):
    write(tmp_path / "run.h5", [0.5])
    code = """if True:
        import sys
        from pathlib import Path
        from rich.console import Console
        from hpcfl.report import show
        show(Path(sys.argv[1]), Console())
        print("imported:", {"torch", "pandas", "xarray", "pydantic"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run.h5"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: set()"
