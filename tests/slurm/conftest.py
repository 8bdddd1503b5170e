"""Real Slurm: three nodes on this machine, for the tests that ask for them."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from threading import Event

import pytest

from hpcfl.cli import main
from hpcfl.results import Reader, open_results

SCRIPT = Path(__file__).with_name("cluster.sh")
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "ip", "nsenter")
LIMIT_S = 150.0


@pytest.fixture(scope="session")
def cluster():
    """Starts the cluster; its programs find it by SLURM_CONF."""
    if os.geteuid():
        pytest.skip("a Slurm of our own takes root")
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)}: apt install slurm-wlm munge iproute2")
    folder = tempfile.mkdtemp(prefix="hpcfl-slurm-")
    done = subprocess.run(["bash", SCRIPT, "up", folder], capture_output=True, text=True, timeout=90, check=False)
    if done.returncode:
        subprocess.run(["bash", SCRIPT, "down", folder], capture_output=True, timeout=90, check=False)
        pytest.skip(f"Slurm does not start here: {(done.stderr.strip() or 'its nodes do not answer').splitlines()[-1]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        yield
        subprocess.run(["bash", SCRIPT, "down", folder], capture_output=True, timeout=90, check=False)
    shutil.rmtree(folder, ignore_errors=True)


class Slurm:
    """hpcfl on a machine with Slurm, in a folder and with records of its own."""

    def __init__(self, folder, capture):
        self.folder, self._capture = folder, capture

    def __call__(self, *arguments):
        """(exit code, stdout, stderr) of a command of hpcfl, run here."""
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *self._capture.readouterr()

    def submit(self, *arguments) -> str:
        """The id of the job."""
        code, said, complaint = self("submit", *arguments)
        assert code == 0, complaint
        return said.partition(":")[0].removeprefix("job ")

    def ask(self, *command) -> str:
        """What one of Slurm's programs says."""
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout

    def job(self, number) -> dict[str, str]:
        """What Slurm knows of it."""
        words = self.ask("scontrol", "show", "job", "-o", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, ready, what):
        """Until ready() gives something true: that."""
        end = time.monotonic() + LIMIT_S
        while not (found := ready()):
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S:.0f} s\n{self.logs()}"
            Event().wait(0.2)
        return found

    def end(self, number) -> str:
        """The state in which the job ended."""
        over = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL"}
        return self.wait(lambda: (state := self.job(number)["JobState"]) in over and state, f"job {number}")

    def started(self, path, step) -> bool:
        """Whether the run has made so many steps."""
        try:
            with open_results(self.folder / path) as run:
                return bool(run.rounds["step"][-1] >= step)
        except Exception:  # not there, or not yet whole
            return False

    def read(self, path) -> Reader:
        return open_results(self.folder / path)

    def logs(self) -> str:
        return "\n".join(f"== {path}\n{path.read_text()[-2000:]}" for path in sorted(self.folder.rglob("*.log")))


@pytest.fixture
def slurm(cluster, tmp_path, monkeypatch, capsys):
    """hpcfl in an empty folder, with Slurm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPCFL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HPCFL_SITE", raising=False)
    return Slurm(tmp_path, capsys)
