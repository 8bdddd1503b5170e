"""Slurm's time limit: when to stop before it, and how a job puts itself back into the queue."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from time import time

__all__ = ["UNFINISHED", "TimeLimit", "requeue", "slurm_job"]

UNFINISHED = 75
"""Exit code where SIGUSR2 or the time limit ended a run: EX_TEMPFAIL of sysexits.h, "try again later"."""

RECENT = 10
"""Steps whose longest one the next may last, twice over."""
SCONTROL_S = 60.0


class TimeLimit:
    """How much time is left, and how much the next step needs."""

    def __init__(self, environ: Mapping[str, str], margin_s: float, step_s: float = 0.0):
        """`step_s`: how long a step took before the run was resumed, 0 where nobody knows."""
        self._end = end_time(environ)
        self._margin_s = margin_s
        self._steps = deque([step_s] if step_s else [], maxlen=RECENT)
        self.writing_s = 0.0
        """Of the last checkpoint."""

    def took(self, seconds: float) -> None:
        """A step was made."""
        self._steps.append(seconds)

    @property
    def step_s(self) -> float:
        """The longest of the last steps; 0 before the first."""
        return max(self._steps, default=0.0)

    @property
    def near(self) -> bool:
        """Whether another step might not end in time."""
        if self._end is None or not self._steps:
            return False
        return time() + 2 * self.step_s + self.writing_s + self._margin_s > self._end


def end_time(environ: Mapping[str, str]) -> float | None:
    """When Slurm ends the job [seconds since 1970]; None outside Slurm, and without a limit.

    Before 23.02 Slurm does not set SLURM_JOB_END_TIME: then squeue tells.
    """
    said = environ.get("SLURM_JOB_END_TIME", "")
    if said.isdigit():
        return float(said) or None
    if "SLURM_JOB_ID" not in environ:
        return None
    command = ["squeue", "--noheader", "--jobs", environ["SLURM_JOB_ID"], "--format=%e"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SCONTROL_S, check=False)
        return datetime.fromisoformat(done.stdout.strip()).timestamp()
    except (OSError, ValueError, subprocess.TimeoutExpired):  # no answer, or NONE
        return None


def slurm_job(environ: Mapping[str, str]) -> str | None:
    """What scontrol calls this job; None outside Slurm."""
    if "SLURM_ARRAY_JOB_ID" in environ and "SLURM_ARRAY_TASK_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID")


def requeue(job: str) -> str | None:
    """Put the job back into the queue, which ends it; why that cannot be, or None."""
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SCONTROL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        return f"scontrol requeue {job}: {failure}"
    said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    return f"scontrol requeue {job}: {said}" if done.returncode else None
