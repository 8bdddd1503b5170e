"""Where a run happened: versions, hosts, devices, launcher; what a reader needs to judge its numbers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py

import hpcfl
from hpcfl.launch import Placement

__all__ = ["describe"]

PACKAGES = ("torch", "torchvision", "numpy", "h5py", "mpi4py", "scikit-learn", "pydantic")
SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
         "SLURM_JOB_NODELIST", "SLURM_RESTART_COUNT")  # fmt: skip


def describe(placement: Placement, mpi: str, backend: str, ranks: list[str], threads: int) -> dict[str, Any]:
    """Flat facts for the result file; `ranks` holds "host device torch-version" of every rank."""
    hosts, devices, _ = zip(*(said.split() for said in ranks))
    return {
        "hpcfl": hpcfl.__version__,
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
        "hdf5": h5py.version.hdf5_version,
        "platform": platform.platform(),
        "launcher": placement.launcher,
        "ranks": placement.size,
        "threads": threads,
        "backend": backend,
        "mpi": mpi,
        "hosts": list(hosts),
        "devices": list(devices),
        **{name.lower(): os.environ[name] for name in SLURM if name in os.environ},
        "git_commit": git_commit(Path.cwd()),
        "argv": sys.argv,
        "cwd": str(Path.cwd()),
        "startup": seconds_alive(),
    }


def seconds_alive() -> float | None:
    """Seconds since this process was started; None on a system that does not say."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"), 2)
    except (OSError, AttributeError):
        return None


def git_commit(folder: Path) -> str:
    """The commit checked out in the folder of the job, with -dirty where files differ; empty outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
