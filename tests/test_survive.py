"""A run that loses ranks on the way goes on with the others, and ends with the bits of one that lost none.

How many such runs in each mode: HPCFL_LOSSES=30 pytest tests/test_survive.py; one unless that says. Run k of a mode has
the seed k, from HPCFL_LOSSES_FROM on.
"""

import os
import random
import signal
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from launcher import LIMIT_S, Launcher
from test_kill import JOB, MODES, alive, assert_all_the_same, ranks_of, readable, until
from test_runs_mpi import lay_out, run_ok

from hpcfl.results import open_results

LOSSES = int(os.environ.get("HPCFL_LOSSES", 1))
FIRST = int(os.environ.get("HPCFL_LOSSES_FROM", 0))
ROUNDS = {"sync": 40, "async": 160, "tiered": 80}
LONGEST_S = 2.0
"""How long after the first round a rank is lost at the latest."""
CONTINUE = JOB.replace("[server]", '[server]\non_rank_failure = "continue"\nheartbeat_s = 4')
STATELESS = {
    "sync": MODES["sync"],
    "async": ["schedule={name='buffered',num_generator=2,in_flight=6}", "strategy='fedbuff'"],
    "tiered": MODES["tiered"],
}
PRIVATE = {"sync": [*MODES["sync"], "strategy='ditto'"], "async": MODES["async"]}
"""Clients keep something at home: the run goes back to its newest checkpoint."""
NEVER = ["checkpoint.every=0", "checkpoint.resume=no"]


def lose(launch: Launcher, moments: random.Random, given: list, path: Path, longest_s: float) -> str:
    """Run with three or four ranks, and let one or two but rank 0 die (or hang) at random moments; what was said."""
    ranks = moments.choice((3, 4))
    process = launch.start(ranks, "run", *given, "--out", path.name)
    until(lambda: path.exists() or process.poll() is not None)
    found = ranks_of(process)
    victims = moments.sample(range(1, ranks), moments.choice((1, ranks - 2)))
    for victim in victims:
        Event().wait(moments.uniform(0, longest_s / len(victims)))
        if process.poll() is None and alive(found[victim]):
            os.kill(found[victim], moments.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP)))
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    return said


@pytest.mark.slow
def test_without_any_client_rank_the_run_ends_with_a_readable_file(launch: Launcher, tmp_path: Path):
    job, path = lay_out(tmp_path, f"rounds = 3000\n{CONTINUE}"), tmp_path / "lost.h5"
    process = launch.start(2, "run", job, *(word for pair in NEVER for word in ("--set", pair)), "--out", path.name)
    until(lambda: path.exists() or process.poll() is not None)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1, said
    assert "hpcfl: error: no client rank is left: rank 1 died: its connection closed" in said
    readable(path)


@pytest.mark.slow
def test_a_rank_dies_on_purpose(launch: Launcher, tmp_path: Path):
    """The job says when, and it is told once, whatever becomes of the run."""
    job = lay_out(tmp_path, f"rounds = 6\n{CONTINUE}")
    given = [job, *(word for pair in (*STATELESS["sync"], *NEVER) for word in ("--set", pair))]
    run_ok(launch, 1, "run", *given, "--out", "whole.h5")
    kill = ["--set", "faults.kill=[{rank=2,at=3}]"]
    done = launch(3, "run", *given, *kill, "--out", "lost.h5")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rank 2 ends itself in round") == 1
    assert_all_the_same(tmp_path / "whole.h5", tmp_path / "lost.h5")
    assert [loss["rank"] for loss in open_results(tmp_path / "lost.h5").losses] == [2]
    done = launch(3, "run", *given, *kill, "--set", "server.on_rank_failure='stop'", "--out", "stopped.h5")
    assert done.returncode != 0
    assert done.stderr.count("rank 2 ends itself in round 3, as faults.kill says") == 1
    np.testing.assert_array_equal(open_results(tmp_path / "stopped.h5").rounds["step"], [1, 2])


BROKEN = {
    "mistake": ("start.mul_(1)", 1, "rank 2: strategy: `local` changed a tensor that was sent to all clients in place"),
    "failure": ("raise KeyboardInterrupt", 0, "rank 2 failed; the run goes on without it"),
}
"""What a strategy does on rank 2 -> the run's exit code, and what it says."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
def test_a_mistake_ends_the_run_and_a_failure_costs_a_rank(launch: Launcher, tmp_path: Path, kind: str):
    act, code, message = BROKEN[kind]
    (tmp_path / "broken.py").write_text(
        "import os\nfrom hpcfl.launch import detect\nfrom hpcfl.strategies import FedAvg\n"
        "class Broken(FedAvg):\n    def correct(self, grad, w, start, sent, client):\n"
        f"        if detect(os.environ).rank == 2:\n            {act}\n"
    )
    job = lay_out(tmp_path, f"rounds = 3\n{CONTINUE}")
    settings = ["strategy='broken.Broken'", "execution='sequential'", *NEVER]
    process = launch.start(3, "run", job, *(word for pair in settings for word in ("--set", pair)), "--out", "x.h5")
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, said
    assert message in said


@pytest.mark.slow
@pytest.mark.timeout(300 + 100 * LOSSES)
@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        *(pytest.param(mode, [*given, *NEVER], id=mode) for mode, given in STATELESS.items()),
        *(pytest.param(mode, given, id=f"private-{mode}") for mode, given in PRIVATE.items()),
    ],
)
def test_ranks_lost_on_the_way_change_no_bit(launch: Launcher, tmp_path: Path, mode: str, settings: list[str]):
    job = lay_out(tmp_path, f"rounds = {ROUNDS[mode]}\n{CONTINUE}")
    given = [job, *(word for pair in settings for word in ("--set", pair))]
    run_ok(launch, 1, "run", *given, "--out", "whole.h5")
    for number in range(FIRST, FIRST + LOSSES):
        moments, longest_s, lost, starts = random.Random(f"{mode} {number}"), LONGEST_S, [], 0
        while not lost:  # or the run was over before: then once more, with an earlier moment
            path = tmp_path / f"lost-{number}-{starts}.h5"
            said = lose(launch, moments, given, path, longest_s)
            readable(path)
            assert_all_the_same(tmp_path / "whole.h5", path)
            lost = [loss["reason"] for loss in open_results(path).losses]
            assert len(lost) == said.count("the run goes on without it"), said
            longest_s, starts = longest_s / 2, starts + 1
        hung = sum("hangs" in why for why in lost)
        print(f"{mode} {number}: lost {len(lost)} ranks, {hung} of them by a stop, in start {starts}")
