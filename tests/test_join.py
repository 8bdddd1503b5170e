"""A rank that joins a run on its way does what the others do, and no bit depends on it."""

import os
import signal
import socket
from pathlib import Path

import pytest
from launcher import LIMIT_S, Launcher
from test_kill import JOB, assert_all_the_same, ranks_of, until
from test_runs_mpi import lay_out, run_ok
from test_survive import NEVER, STATELESS

from hpcfl.results import open_results
from hpcfl.transport.door import Address, hear, say
from hpcfl.welcome import versions

JOINABLE = JOB.replace("[server]", '[server]\non_rank_failure = "continue"\nheartbeat_s = 60\njoinable = true')


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_rank_joins_and_the_first_one_dies(launch: Launcher, tmp_path: Path, mode: str):
    """The first client rank is stopped as soon as others may join, so that the run waits for whoever comes."""
    job, path = lay_out(tmp_path, f"rounds = 12\n{JOINABLE}"), tmp_path / "joined.h5"
    given = [job, *(word for pair in (*STATELESS[mode], *NEVER) for word in ("--set", pair))]
    run_ok(launch, 1, "run", *given, "--out", "whole.h5")
    door = tmp_path / "joined.h5.join"
    process = launch.start(2, "run", *given, "--out", path.name)
    until(lambda: door.exists() or process.poll() is not None)
    first = ranks_of(process)[1]
    os.kill(first, signal.SIGSTOP)
    assert door.stat().st_mode & 0o777 == 0o600
    address = Address.parse(str(door))
    for other, answer in (({"hpcfl": "0.0"}, "has hpcfl 0.0, the run "), ({}, "")):
        with socket.create_connection((address.host, address.port)) as line:
            say(line, secret=address.secret)
            say(line, versions={**versions(), **other})
            assert answer in hear(line)["refused"]  # and then it dies
    newcomer = launch.start(1, "join", door)
    assert newcomer.stdout.readline() == f"joined the run at {address.host}:{address.port} as rank 2\n"
    os.kill(first, signal.SIGKILL)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    assert newcomer.communicate(timeout=LIMIT_S)[0] == "the run is over\n"
    assert newcomer.returncode == 0
    assert not door.exists()
    assert_all_the_same(tmp_path / "whole.h5", path)
    with open_results(path) as found:
        assert [join["rank"] for join in found.joins] == [2]
        assert [loss["rank"] for loss in found.losses] == [1]
        assert found.events["rank"][-1] == 2
    assert f"rank 2 of {found.joins[0]['host']} joined" in said
