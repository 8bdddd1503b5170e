"""Sweeps that run: what is done stays, what failed is run again, and Ctrl-C ends all."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic

import h5py
import pytest

from hpcfl.results import open_results
from hpcfl.sweep.condition import differences, inspect, step_of
from hpcfl.sweep.file import read_sweep
from hpcfl.sweep.local import ending
from hpcfl.timelimit import UNFINISHED

FAILING = """
import os, pathlib
from torch import nn


class Net(nn.Sequential):
    def __init__(self, once=""):
        super().__init__(nn.Flatten(), nn.Linear(4, 2))
        self.once = once

    def forward(self, x):
        if self.once and not pathlib.Path(self.once).exists() and self.training:
            pathlib.Path(self.once).touch()
            os._exit(7)
        return super().forward(x)
"""
SLOW = """
from time import sleep
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(4, 2))

    def forward(self, x):
        sleep(0.05)
        return super().forward(x)
"""


def written(folder):
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "results/many").glob("*.h5")}


def test_again_runs_only_what_is_missing_or_failed(launch, write, tmp_path):
    (tmp_path / "own.py").write_text(FAILING)
    rows = [
        f"[[cells]]\nname = 'n{n}'\nmodel = {{name = 'own.Net', once = '{once}'}}" for n, once in enumerate(("", "x"))
    ]
    path = write("\n".join([*rows, "[[cells]]\nname = 'n2'\nmodel = 'own.Net'\n"]))
    first = launch(1, "sweep", path, "--parallel", 3)
    assert first.returncode == 1, first.stderr
    assert "3 cells (3 missing), 1 rank each, 3 at a time" in first.stdout
    rows = {line.split()[0]: line.split() for line in first.stdout.splitlines() if line.startswith("n")}
    assert [rows[name][1] for name in ("n0", "n1", "n2")] == ["done", "failed", "done"]
    assert "exit code 7" in first.stdout
    before = written(tmp_path)
    second = launch(1, "sweep", path)
    assert second.returncode == 0, second.stderr
    assert "n1 begins" in second.stdout
    assert second.stdout.count("begins") == 1
    after = written(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"n1"}
    assert "begins" not in launch(1, "sweep", path).stdout


@pytest.mark.slow
def test_cells_of_several_ranks_have_the_bits_of_one(launch, write, tmp_path):
    path = write("[grid]\nseed = [3]\n[run]\nranks = 2\n")
    done = launch(1, "sweep", path)
    assert done.returncode == 0, done.stdout + (tmp_path / "results/many/base-seed3.log").read_text()
    assert launch(1, "run", "base.toml", "--set", "seed=3", "--out", "one.h5").returncode == 0
    two, one = open_results(tmp_path / "results/many/base-seed3.h5"), open_results(tmp_path / "one.h5")
    assert two.environment["ranks"] == 2
    assert all((two.model()[name] == tensor).all() for name, tensor in one.model().items())


def test_a_file_of_another_job_is_not_replaced_unasked(launch, write, tmp_path):
    path = write("[grid]\nseed = [0]\n")
    assert launch(1, "sweep", path).returncode == 0
    before = (tmp_path / "results/many/base-seed0.h5").read_bytes()
    refused = launch(1, "sweep", path, "--set", "rounds=3")
    assert refused.returncode == 2
    assert (
        "cell base-seed0: results/many/base-seed0.h5 holds another job: rounds is 2 there and 3 here" in refused.stderr
    )
    assert (tmp_path / "results/many/base-seed0.h5").read_bytes() == before
    again = launch(1, "sweep", path, "--set", "rounds=3", "--set", "results.overwrite=true")
    assert again.returncode == 0, again.stderr
    assert len(open_results(tmp_path / "results/many/base-seed0.h5").rounds["step"]) == 3
    (tmp_path / "results/many/base-seed0.h5").write_text("a letter")
    assert "is not an HDF5 file" in launch(1, "sweep", path).stderr


def test_every_cell_is_checked_before_the_first_one_runs(launch, write, tmp_path):
    path = write("[grid]\nstrategy.name = ['fedprox']\nstrategy.mu = [0, -1]\nclient.lr = [0.1, 0.2]\n")
    refused = launch(1, "sweep", path)
    assert refused.returncode == 2
    assert "2 of 4 cells cannot run" in refused.stderr
    assert "cell fedprox-mu-1-lr0.1, fedprox-mu-1-lr0.2: strategy.mu = -1" in refused.stderr
    assert not (tmp_path / "results").exists()


def test_dry_run_prints_commands_that_run(launch, write, tmp_path):
    done = launch(1, "sweep", write("[grid]\nseed = [4]\n"), "--dry-run")
    assert done.returncode == 0
    assert not (tmp_path / "results").exists()
    command = done.stdout.splitlines()[-1].replace("hpcfl", f"{sys.executable} -m hpcfl", 1)
    assert launch.run(["sh", "-c", command]).returncode == 0
    assert "1 done" in launch(1, "sweep", "many.toml").stdout


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_what_was_asked_to_end_goes_on_and_has_the_same_bits(launch, write, tmp_path, sent):
    (tmp_path / "slow.py").write_text(SLOW)
    path = write("[grid]\nseed = [0, 1, 2]\n")
    given = ("--set", "model=slow.Net", "--set", "rounds=60")
    process = launch.start(1, "sweep", path, *given, "--parallel", 2)
    cells = read_sweep(path, given[1::2]).cells[:2]
    begun = [process.stdout.readline() for _ in range(3)]
    assert "begins" in begun[2], begun
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    for cell in cells:
        until(lambda cell=cell: step_of(replace(cell, path=tmp_path / cell.path))[0] >= 2)
    os.kill(process.pid, sent)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == UNFINISHED, said
    assert "base-seed2  stopped" in said
    assert "the same command goes on with what is missing" in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    again = launch(1, "sweep", path, *given, "--parallel", 3)
    assert again.returncode == 0, again.stdout
    assert "3 cells (1 missing, 2 unfinished)" in again.stdout
    assert launch(1, "run", "base.toml", *given, "--set", "seed=1", "--out", "alone.h5").returncode == 0
    with open_results(tmp_path / "results/many/base-seed1.h5") as run, open_results(tmp_path / "alone.h5") as alone:
        assert len(run.restarts) == 1
        assert all((run.model()[name] == tensor).all() for name, tensor in alone.model().items())


@pytest.mark.parametrize(
    "number, before, start, sent",
    [
        (signal.SIGINT, [], [], signal.SIGTERM),
        (signal.SIGUSR2, [], [], signal.SIGUSR2),
        (signal.SIGUSR2, [], ["srun"], signal.SIGUSR2),
        (signal.SIGUSR2, [], ["/bin/mpirun", "-np"], signal.SIGTERM),
        (signal.SIGTERM, [signal.SIGUSR2], [], signal.SIGTERM),
        (signal.SIGTERM, [signal.SIGINT], [], signal.SIGKILL),
    ],
)
def test_what_cells_get_of_a_signal(number, before, start, sent):
    assert ending(number, before, start) == sent


def until(ready):
    """Wait for something that comes soon."""
    end = monotonic() + 100
    while not ready():
        assert monotonic() < end
        Event().wait(0.05)


def test_a_file_that_is_being_written_is_left_alone(launch, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write("[grid]\nseed = [0]\n")
    assert launch(1, "sweep", path).returncode == 0
    (cell,) = read_sweep(path).cells
    assert inspect(cell).status == "done"
    with h5py.File(cell.path, "r+", locking=True):
        assert inspect(cell).status == "running"
    with h5py.File(cell.path, "r+") as file:
        file.attrs["format_version"] = "2.0"
    assert inspect(cell).status == "foreign"  # of a newer hpcfl: not a run without a round, to be made again


def test_what_decides_no_number_may_differ(write):
    (cell,) = read_sweep(write("[grid]\nseed = [0]\n"), ["tracking.wandb=true", "server.timeout_s=5.0"]).cells
    (other,) = read_sweep(write("[grid]\nseed = [0]\n")).cells
    assert differences(cell.job.spec.resolved(), other.job.spec.resolved()) == []
    older = {key: value for key, value in other.job.spec.resolved().items() if key != "execution"}
    assert differences(older, other.job.spec.resolved()) == []
    changed = other.job.spec.resolved() | {"seed": 5}
    assert differences(changed, other.job.spec.resolved()) == ["seed is 5 there and 0 here"]
