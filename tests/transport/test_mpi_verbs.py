"""One contract over the transports: alone, two ranks, three ranks, ranks on several nodes."""

import sys
from pathlib import Path

import pytest
from launcher import Launcher, mpirun


@pytest.mark.parametrize(
    ("ranks", "nodes"), [(1, ""), (2, ""), (3, ""), (4, "abba"), (5, "aabcc"), (3, "abb"), (3, "aa-")]
)
def test_the_six_verbs(launch: Launcher, ranks: int, nodes: str):
    places = [name.strip("-") for name in nodes]  # "-" cannot share memory
    program = [sys.executable, str(Path(__file__).with_name("verbs.py")), *places]
    done = launch.run(program if ranks == 1 else [*mpirun(), "-np", str(ranks), *program])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"rank {rank} of {ranks} done" for rank in range(ranks)]
