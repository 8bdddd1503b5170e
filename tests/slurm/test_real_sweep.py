"""Sweeps as arrays of a real Slurm: a cell that fails once, and a pack that the time limit ends."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

BASE = """
rounds = 2
data = {name = "synthetic", samples = 40, test_samples = 10, shape = [4], classes = 2}
partition = {clients = 2}
model = "sweepnets.Net"
"""
NETS = """
import os, pathlib, time
from torch import nn


class Net(nn.Sequential):
    def __init__(self, fails_before="", pause=0.0):
        super().__init__(nn.Flatten(), nn.Linear(4, 2))
        self.flag, self.pause = fails_before, pause

    def forward(self, x):
        if self.flag and self.training and not pathlib.Path(self.flag).exists():
            pathlib.Path(self.flag).touch()
            os._exit(7)
        time.sleep(self.pause)
        return super().forward(x)
"""


@pytest.fixture
def folder(slurm, monkeypatch):
    """With a job, and the models that it trains."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("base.toml").write_text(BASE)
    Path("sweepnets.py").write_text(NETS)
    yield slurm.folder
    sys.modules.pop("sweepnets", None)


def hand_in(slurm, *arguments):
    """(id of the array, what was said)."""
    code, said, complaint = slurm("sweep", *arguments, "--submit", "--time", 10)
    assert code == 0, complaint
    return next(line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("job ")), said


def test_after_a_failure_only_that_cell_is_run(slurm, folder):
    rows = [f"[[cells]]\nname = 'n{n}'\nmodel.fails_before = '{flag}'\n" for n, flag in enumerate(("", "failed", ""))]
    Path("three.toml").write_text('job = "base.toml"\n' + "".join(rows))
    number, said = hand_in(slurm, "three.toml")
    assert f"three: 3 cells, 3 to do\njob {number}: array 0-2\n" in said
    assert "in the queue already: tasks 0-2; nothing to hand in" in slurm("sweep", "three.toml", "--submit")[1]
    assert [slurm.end(f"{number}_{task}") for task in range(3)] == ["COMPLETED", "FAILED", "COMPLETED"], slurm.logs()
    assert "n1    failed" in Path(f"results/three/tasks/{number}_1.log").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in Path("results/three").glob("*.h5")}
    again, said = hand_in(slurm, "three.toml")
    assert f"three: 3 cells, 1 to do\njob {again}: array 1\n" in said
    assert slurm.end(f"{again}_1") == "COMPLETED", slurm.logs()
    after = {path.name: path.stat().st_mtime_ns for path in Path("results/three").glob("*.h5")}
    assert sorted(name for name in after if after[name] != before.get(name)) == ["n1.h5"]
    assert "3 cells, 0 to do; nothing to hand in" in slurm("sweep", "three.toml", "--submit")[1]
    assert f"results/three/tasks/{again}_1" not in slurm("status")[1]  # it shows the result file instead
    assert "results/three/tasks/1.h5" in slurm("status")[1]


def test_a_pack_of_cells_of_two_ranks_goes_on_where_a_signal_ended_it(slurm, folder):
    Path("pack.toml").write_text('job = "base.toml"\n[grid]\nseed = [0, 1]\n[run]\nranks = 2\npack = 2\n')
    slow = ("--set", "rounds=12", "--set", "model.pause=0.1", "--set", "checkpoint.every=1")
    number, said = hand_in(slurm, "pack.toml", *slow, "--requeue")
    assert "array 0, 2 cells each" in said
    slurm.wait(lambda: slurm.started("results/pack/base-seed0.h5", 2), "the second round")
    slurm.ask("scancel", "-b", "-s", "USR2", f"{number}_0")
    log = Path(f"results/pack/tasks/{number}_0.log")
    slurm.wait(lambda: f"job {number}_0 is back in the queue" in log.read_text(), "the requeue")
    slurm.wait(lambda: slurm.job(f"{number}_0").get("Restarts") == "1", "the second start")
    assert slurm.end(f"{number}_0") == "COMPLETED", slurm.logs()
    assert "(1 missing, 1 unfinished)" in log.read_text()
    with slurm.read("results/pack/base-seed0.h5") as run:
        assert (run.finished, run.environment["ranks"], run.rounds["step"].tolist()) == (True, 2, list(range(1, 13)))
        model = run.model()
    slurm.ask(sys.executable, "-m", "hpcfl", "run", "base.toml", "--set", "rounds=12", "--out", "alone.h5")
    with slurm.read("alone.h5") as run:
        assert all(np.array_equal(tensor, model[name]) for name, tensor in run.model().items())
    with slurm.read("results/pack/base-seed1.h5") as run:
        assert run.finished
