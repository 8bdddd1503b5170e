"""How the process ends that the launcher started, when the rank that it stands by for ends."""

import socket
import subprocess
import sys

import pytest

RANK = """
import os, signal, sys
from hpcfl.launch import Placement
from hpcfl.warden import stand_by
rank, job, port, ending = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
started = os.getpid()
steady = stand_by(Placement("none", rank, 2), None, [f"server.on_rank_failure={job}"], None)
print(os.getpid() != started, flush=True)
if port:
    steady("127.0.0.1", port)
if ending < 0:
    os.kill(os.getpid(), -ending)
os._exit(ending)
"""


def end_of(rank: int, job: str, port: int, ending: int) -> tuple[str, int]:
    """What it printed, and its exit code as a shell has it."""
    command = [sys.executable, "-c", RANK, *map(str, (rank, job, port, ending))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip(), done.returncode


@pytest.mark.parametrize(
    ("rank", "job", "begun", "ending", "seen"),
    [
        (1, "continue", True, -9, ("True", 0)),
        (1, "continue", True, 1, ("True", 0)),
        (1, "continue", False, -9, ("True", 137)),
        (1, "continue", False, 2, ("True", 2)),
        (0, "continue", True, -9, ("True", 137)),
        (0, "continue", True, 75, ("True", 75)),
        (1, "stop", False, 2, ("False", 2)),
        (1, "stop", False, -9, ("False", -9)),
    ],
)
def test_the_end_that_the_launcher_sees(rank, job, begun, ending, seen):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert end_of(rank, job, port if begun else 0, ending) == seen


def test_it_waits_for_the_end_of_rank_0():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", RANK, "1", "continue", str(listener.getsockname()[1]), "-9"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        listener.settimeout(60)
        line, _ = listener.accept()
        assert process.poll() is None
        line.close()
        assert process.wait(60) == 0
