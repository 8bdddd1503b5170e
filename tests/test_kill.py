"""A job that is killed and resumed, again and again, ends with the bits of one that never was.

How often in each mode: HPCFL_KILLS=30 pytest tests/test_kill.py; a few times unless that says.
"""

import os
import random
import signal
from pathlib import Path
from threading import Event
from time import monotonic

import numpy as np
import pytest
from launcher import Launcher
from test_runs_mpi import SAME, lay_out, run_ok

from hpcfl.errors import HpcflError, ResultError
from hpcfl.launch import detect
from hpcfl.results import open_results

KILLS = int(os.environ.get("HPCFL_KILLS", 3))
ROUNDS_PER_KILL = 7
MOST_STEPS = 4
"""Checkpoints that a start may make before it is killed."""
LIMIT_S = 60
JOB = """
[data]
name = "digits"
[partition]
name = "dirichlet"
clients = 12
beta = 1.0
[model]
name = "mlp"
[client]
epochs = [1, 3]
batch_size = 16
lr = 0.05
[client.device]
speed = {name = "lognormal", sigma = 0.6}
[results]
keep_every = 3
[server]
timeout_s = 60
[checkpoint]
every = 1
resume = "auto"
"""
MODES = {
    "sync": ["schedule.c_ratio=0.5"],
    "async": [
        "schedule={name='buffered',num_generator=2,in_flight=6}",
        "strategy='fedbuff'",
        "communication.compression={name='topk',share=0.1}",
        "client.test_size=0.2",
        "server.evaluate_every=3",
    ],
    "tiered": ["schedule={name='tiered',group={name='latency',tiers=3}}", "strategy={name='fedat',mu=0.1}"],
}
VICTIMS = ("a client rank", "rank 0", "all")


def ranks_of(process) -> dict[int, int]:
    """rank -> process id, of those that the launcher has started by now."""
    found, families = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            families.setdefault(parent, []).append(int(folder.name))
        except OSError:
            continue
    ahead = [process.pid]
    while ahead:
        pid = ahead.pop()
        ahead += families.get(pid, [])
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
            placement = detect(dict(word.partition("=")[::2] for word in words if "=" in word))
        except (OSError, HpcflError):
            continue
        if placement.size > 1:
            found[placement.rank] = pid
    return found


def kill(process, victim: str) -> None:
    """SIGKILL for one or all; whoever stays behind is ended by the launcher, and waited for."""
    ranks = ranks_of(process)
    chosen = {"all": [*ranks.values(), process.pid], "rank 0": [ranks.get(0, process.pid)]}
    for pid in chosen.get(victim, [ranks.get(1, process.pid)]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate(timeout=LIMIT_S)
    until(lambda: not any(alive(pid) for pid in ranks.values()))


def alive(pid: int) -> bool:
    """Whether the process still runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(happened, limit_s: float = LIMIT_S) -> None:
    end = monotonic() + limit_s
    while not happened():
        assert monotonic() < end
        Event().wait(0.001)


def newest(folder: Path) -> int:
    """The step of the newest complete checkpoint."""
    try:
        return max((int(path.parent.name[5:]) for path in folder.glob("step-*/complete.json")), default=0)
    except FileNotFoundError:  # a folder that is being looked through is put away
        return 0


def run_and_kill(launch: Launcher, moments: random.Random, given: list, victim: str, path: Path) -> None:
    """Start, and kill at a random moment: most often in the rounds, sometimes on the way there."""
    folder = path.with_name(f"{path.name}.checkpoint")
    before, ranks = newest(folder), 3 if victim == "a client rank" else moments.choice((2, 3))
    process = launch.start(ranks, "run", *given)
    if moments.random() < 0.2:
        until(lambda: len(ranks_of(process)) == ranks or process.poll() is not None)
        wait_s = moments.uniform(0, 8)
    else:
        wanted = before + moments.randint(1, MOST_STEPS)
        until(lambda: newest(folder) >= wanted or process.poll() is not None)
        wait_s = moments.uniform(0, 0.1)
    end = monotonic() + wait_s
    until(lambda: monotonic() >= end or process.poll() is not None)
    kill(process, victim)


def readable(path: Path) -> None:
    """Its steps are whole, or there is none yet."""
    if path.exists():
        try:
            with open_results(path) as results:
                for name in (*SAME, "rank"):
                    assert len(results.events[name]) == len(results.events["step"])
                np.testing.assert_array_equal(results.rounds["step"], np.arange(1, len(results.rounds["step"]) + 1))
        except ResultError as error:
            assert "has no rounds" in str(error), error


def assert_all_the_same(one: Path, other: Path) -> None:
    """Rounds, events, evaluations and every kept model."""
    first, second = open_results(one), open_results(other)
    assert first.models == second.models
    for step in first.models:
        kept = second.model(step)
        for name, tensor in first.model(step).items():
            np.testing.assert_array_equal(tensor, kept[name], err_msg=f"{name} after {step}")
    for name in ("step", "time", "accuracy", "loss", "train_loss", "client_accuracy", "examples", "client_bytes_up"):
        np.testing.assert_array_equal(first.rounds[name], second.rounds[name], err_msg=name)
    for name in SAME:
        np.testing.assert_array_equal(first.events[name], second.events[name], err_msg=name)
    for name in first.own:
        np.testing.assert_array_equal(first.own[name], second.own[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * KILLS)
@pytest.mark.parametrize("mode", MODES)
def test_killed_and_resumed_until_it_ends(launch: Launcher, tmp_path: Path, mode: str):
    job = lay_out(tmp_path, f"rounds = {ROUNDS_PER_KILL * KILLS}\n{JOB}")
    given = [job, *(word for pair in MODES[mode] for word in ("--set", pair)), "--out"]
    run_ok(launch, 1, "run", *given, "whole.h5")
    moments, path = random.Random(mode), tmp_path / "killed.h5"
    for number in range(KILLS):
        run_and_kill(launch, moments, [*given, path.name], VICTIMS[number % len(VICTIMS)], path)
        readable(path)
    run_ok(launch, 1, "run", *given, path.name)
    assert_all_the_same(tmp_path / "whole.h5", path)
    assert open_results(path).restarts
