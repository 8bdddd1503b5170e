"""One contract over the transports: alone, two ranks, three ranks."""

import sys
from pathlib import Path

import pytest
from launcher import Launcher, mpirun


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_six_verbs(launch: Launcher, ranks: int):
    program = [sys.executable, str(Path(__file__).with_name("verbs.py"))]
    done = launch.run(program if ranks == 1 else [*mpirun(), "-np", str(ranks), *program])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"rank {rank} of {ranks} done" for rank in range(ranks)]
