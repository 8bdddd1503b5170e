"""Jobs in Slurm, for the tests: handed in by hpcfl, asked after by Slurm's own programs."""

import subprocess
import time
from threading import Event

from hpcfl.cli import main
from hpcfl.results import Reader, open_results

LIMIT_S = 150.0
"""Longest wait for anything [s]."""


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
