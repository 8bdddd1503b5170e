"""Who am I among the ranks? A launcher is a row of a table of environment-variable names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpcfl.errors import LaunchError

__all__ = ["LAUNCHERS", "Launcher", "Placement", "detect", "mpirun", "unstarted"]


@dataclass(frozen=True)
class Launcher:
    """The variables a launcher sets in each process, and how its ranks find one another."""

    name: str
    rank: str
    size: str
    local_rank: str
    local_size: str | None
    bootstrap: str
    """mpi: the address of rank 0 is agreed on over MPI; env: it follows from the environment."""


LAUNCHERS = (
    # mpirun inside a Slurm job leaves SLURM_PROCID of its own step behind (one per node): so PMI and OMPI first.
    Launcher("openmpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
             "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "mpi"),
    Launcher("mpich", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "mpi"),
    Launcher("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "env"),
    # Not SLURM_NTASKS: that is the job's, and also set where nothing was started by srun (a batch script, salloc).
    Launcher("slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", None, "env"),
)  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """This process's place in the job."""

    launcher: str = "none"
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    """Ranks on this node."""
    bootstrap: str = "env"
    master: str = "127.0.0.1"
    """Host of rank 0, where the environment tells."""
    port: int = 0
    """Port of the rendezvous on that host; 0 where it is agreed on later."""
    hosted: bool = False
    """Whether the launcher keeps a store at that address (torchrun's agent does)."""


def detect(environ: Mapping[str, str]) -> Placement:
    """The placement that the environment describes; one process alone where it describes none."""
    for launcher in LAUNCHERS:
        if launcher.rank not in environ or launcher.size not in environ:
            continue
        if launcher.local_rank not in environ and {"SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"} <= environ.keys():
            continue  # srun --mpi=pmi2 sets PMI_RANK as well, but only its own variables tell the ranks of a node apart
        rank, size = _number(environ, launcher.rank), _number(environ, launcher.size)
        if not 0 <= rank < size:
            said = f"{launcher.rank} = {rank} and {launcher.size} = {size}"
            raise LaunchError(f"{said} in the environment: the rank should be from 0 to the number of ranks less one")
        if size == 1:
            return Placement(launcher.name)
        place = {"launcher": launcher.name, "rank": rank, "size": size,
                 "local_rank": _number(environ, launcher.local_rank, 0), "bootstrap": launcher.bootstrap}  # fmt: skip
        if launcher.name == "slurm":
            tasks = tasks_per_node(environ.get("SLURM_STEP_TASKS_PER_NODE", "1"))
            local_size = tasks[_number(environ, "SLURM_NODEID", 0) % len(tasks)]
            master, port = first_host(_text(environ, "SLURM_STEP_NODELIST")), _slurm_port(environ)
        else:
            local_size = _number(environ, launcher.local_size, 1)
            master, port = environ.get("MASTER_ADDR", "127.0.0.1"), _number(environ, "MASTER_PORT", 0)
        if launcher.bootstrap == "env" and not port:
            raise LaunchError(f"{launcher.rank} is set, but MASTER_PORT is not: rank 0 needs a port to be found at")
        hosted = environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return Placement(**place, local_size=local_size, master=master, port=port, hosted=hosted)
    return Placement()


def mpirun() -> list[str] | None:
    """The mpirun beside this Python, else the one on the path, allowed to start more ranks than there are cores."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    if "Open MPI" not in version:
        return [found]
    return [found, "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else [])]


def unstarted(placement: Placement, environ: Mapping[str, str]) -> str:
    """What to say of one process in a Slurm job that has room for more; nothing elsewhere."""
    tasks = environ.get("SLURM_NTASKS", "1")
    if placement.size > 1 or placement.launcher != "none" or not tasks.isdigit() or int(tasks) <= 1:
        return ""
    return f"this Slurm job has {tasks} tasks, and hpcfl runs in one process; srun hpcfl ... starts one for each"


def first_host(nodelist: str) -> str:
    """The first host of a Slurm node list: `n[3-5,9],m1` gives n3, `r[1-2]n[4-9]` gives r1n4."""
    head, bracket, rest = nodelist.partition("[")
    if not bracket or "," in head:
        return nodelist.split(",")[0]
    inside, _, tail = rest.partition("]")
    return head + inside.split(",")[0].split("-")[0] + first_host(tail)


def tasks_per_node(counts: str) -> list[int]:
    """Slurm's run-length list: `3,2(x3)` gives [3, 2, 2, 2]."""
    tasks: list[int] = []
    for part in counts.split(","):
        count, _, times = part.rstrip(")").partition("(x")
        try:
            tasks += [int(count)] * int(times or 1)
        except ValueError:
            said = f"SLURM_STEP_TASKS_PER_NODE = {counts!r} in the environment"
            raise LaunchError(f"{said}: should be like 3,2(x3)") from None
    return tasks


def _slurm_port(environ: Mapping[str, str]) -> int:
    """Away from the ports that other steps and jobs on the same node use: several steps may run at once."""
    return 20_000 + (_number(environ, "SLURM_JOB_ID") * 64 + _number(environ, "SLURM_STEP_ID", 0) % 64) % 20_000


def _text(environ: Mapping[str, str], name: str) -> str:
    if name not in environ:
        raise LaunchError(f"the environment looks like Slurm's, but {name} is not set; start the ranks with srun")
    return environ[name]


def _number(environ: Mapping[str, str], name: str | None, default: int | None = None) -> int:
    if name not in environ and default is not None:
        return default
    try:
        return int(_text(environ, name))
    except ValueError:
        raise LaunchError(f"{name} = {environ[name]!r} in the environment: should be a whole number") from None
