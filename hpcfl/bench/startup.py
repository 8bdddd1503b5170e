"""From the command line to the first round: hpcfl's whole way there, against that of bare PyTorch loops.

Both are started as a user starts them, in turn, and say when their first round begins.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from time import time
from typing import Any

from hpcfl.errors import LaunchError
from hpcfl.launch import mpirun
from hpcfl.results import open_results

__all__ = ["LIMIT_S", "time_startup"]

LIMIT_S = 1.5
"""Most that hpcfl may take longer than the bare loop [s]."""
PATIENCE_S = 300.0
"""Longest start [s]."""
RANKS = 3
"""A server and two client ranks, against two bare loops."""
JOB = ("run", "--set", "rounds=1", "--set", "client.epochs=1", "--out")
LOOP = """
import sys
import time

import torch
import torch.distributed as dist
from torch import nn

rank, size, port = map(int, sys.argv[1:])
torch.set_num_threads(1)
x, y = torch.randn(1437, 1, 8, 8), torch.arange(1437) % 10
model = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
if size > 1:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    dist.barrier()
print(time.time(), flush=True)
nn.functional.cross_entropy(model(x[:10]), y[:10]).backward()
optimizer.step()
if size > 1:
    dist.barrier()
    dist.destroy_process_group()
"""
"""Everything that a plain loop needs before its first step, and that step."""


def time_startup(repeats: int) -> list[dict[str, Any]]:
    """Seconds to the first round, medians: alone, and where there is an mpirun with three ranks."""
    ways = [("one process", (), 1)]
    if (launch := mpirun()) is not None:
        ways.append((f"mpirun -np {RANKS}", (*launch, "-np", str(RANKS)), RANKS - 1))
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name, *_ in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for name, launch, loops in ways:
                taken[name][0].append(bare(loops))
                taken[name][1].append(ours(launch, Path(folder)))
    rows = []
    for name, _, loops in ways:
        floor_s, hpcfl_s = map(median, taken[name])
        floor = f"{loops} bare loop{'s' * (loops > 1)}"
        rows.append({"launch": name, "hpcfl_s": hpcfl_s, "floor": floor, "floor_s": floor_s,
                     "over_s": hpcfl_s - floor_s, "limit_s": LIMIT_S})  # fmt: skip
    return rows


def bare(loops: int) -> float:
    """Seconds until the first of the plain loops is in its first round."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time()
    commands = ([sys.executable, "-c", LOOP, str(rank), str(loops), str(port)] for rank in range(loops))
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in started]
    if any(process.returncode for process in started):
        raise LaunchError("bench startup: a bare PyTorch loop failed; what it said stands above")
    return float(said[0]) - begin


def ours(launch: Sequence[str], folder: Path) -> float:
    """Seconds until rank 0 of hpcfl is in its first round, as its result file says."""
    path = folder / "run.h5"
    path.unlink(missing_ok=True)
    begin = time()
    done = subprocess.run(
        [*launch, sys.executable, "-m", "hpcfl", *JOB, str(path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LaunchError(f"bench startup: the run failed: {done.stderr.strip() or done.stdout.strip()}")
    return datetime.fromisoformat(open_results(path).start_time).timestamp() - begin
