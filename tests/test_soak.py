"""Long runs hold no more at their end than in their middle: memory, open files, threads and objects of every rank.

HPCFL_SOAK=1000 pytest tests/test_soak.py -s: so many rounds with as many clients, and what each rank held.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soak
from launcher import Launcher
from test_runs_mpi import lay_out

ROUNDS = int(os.environ.get("HPCFL_SOAK", 200))
CLIENTS = max(50, ROUNDS if "HPCFL_SOAK" in os.environ else 0)
JOB = f"""
rounds = {ROUNDS}
execution = "sequential"
[data]
name = "synthetic"
samples = {8 * CLIENTS}
test_samples = 10
shape = [1, 4, 4]
classes = 3
[partition]
clients = {CLIENTS}
[model]
name = "mlp"
hidden = [4]
[client]
batch_size = 8
lr = 0.05
loss = "soak.cross_entropy"
[server]
timeout_s = 60
test_batch_size = 1                 # rank 0 is watched as often as the others
[checkpoint]
every = {ROUNDS // 20}
"""
MODES = {
    "sync, private state": ["strategy='scaffold'", f"schedule.c_ratio={10 / CLIENTS}"],
    "async": ["schedule={name='buffered',num_generator=2,in_flight=8}", "strategy='fedbuff'", "results.keep_every=5"],
    "own models": [
        "strategy='fedbn'", f"schedule.c_ratio={10 / CLIENTS}", "client.test_size=0.2", "server.evaluate_every=10",
        "results.on_storage_failure='continue'", "checkpoint.second='second'",
    ],
}  # fmt: skip
RUNS = [*((mode, 1) for mode in MODES), ("sync, private state", 3)]
if "HPCFL_SOAK" in os.environ:
    RUNS += [("async", 3)]
SLACK = {"bytes": 3 << 20, "files": 2, "threads": 1, "objects": 1000}
"""A checkpoint may be under way, or a caller's cache still filling; and 200 bytes for each round and 2 KiB for each
client are what a run may know."""


def watched(folder: Path) -> dict[str, np.ndarray]:
    """(samples, 4) of each process."""
    return {path.stem: np.loadtxt(path, np.int64, ndmin=2) for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.timeout(300 + 2 * ROUNDS)
@pytest.mark.parametrize(("mode", "ranks"), RUNS)
def test_nothing_leaks(launch: Launcher, tmp_path: Path, mode: str, ranks: int):
    (tmp_path / "watched").mkdir()
    launch.environ |= {
        "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}",
        soak.FOLDER: str(tmp_path / "watched"),
        soak.EVERY: str(ROUNDS // {("async", 3): 30, ("sync, private state", 3): 3}.get((mode, ranks), 1)),
    }
    pairs = [word for pair in MODES[mode] for word in ("--set", pair)]
    process = launch.start(ranks, "run", lay_out(tmp_path, JOB), *pairs, "--out", "x.h5")
    said, _ = process.communicate(timeout=250 + 2 * ROUNDS)
    assert process.returncode == 0, said
    found = watched(tmp_path / "watched")
    assert len(found) == ranks
    for process, samples in found.items():
        assert len(samples) > 9
        half = len(samples) // 2
        middle, end = np.median(samples[half : half + 3], 0), np.median(samples[-3:], 0)
        for name, before, after in zip(soak.COLUMNS, middle, end):
            print(f"{mode}, {ranks} ranks, {process}: {name} {before:,.0f} -> {after:,.0f}")
            assert after <= before + SLACK[name], (mode, process, name, samples[:: max(1, len(samples) // 20)])
