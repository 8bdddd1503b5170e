"""The batch script: a text that follows from what is asked for and where, and from nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from hpcfl.errors import JobError
from hpcfl.slurm.site import Site, activation

__all__ = ["SIGNAL_LEAD_S", "Request", "script"]

SIGNAL_LEAD_S = 120
"""Seconds before the time limit at which a job that requeues itself is told; Slurm may be up to 60 s early."""


@dataclass(frozen=True)
class Request:
    """What a batch job is to run, and on what."""

    name: str
    """The job's name."""
    arguments: str
    """What follows `python -m hpcfl`, as the shell is to read it: quoted, but for variables such as $SLURM_JOB_ID."""
    output: str
    """The log file; %j is the job's id, %A and %a are an array's id and index."""
    nodes: int = 1
    ranks_per_node: int | None = None
    """Without it one rank per GPU and the server besides; without GPUs one per node."""
    gpus_per_node: int = 0
    cpus_per_rank: int = 1
    time: str | None = None
    """The time limit in Slurm's notation, say 4:00:00."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    array: str | None = None
    """The indices of an array in Slurm's notation, say 0-9%2."""
    after: tuple[str, ...] = ()
    """Ids of the jobs that must have succeeded before."""
    requeue: bool = False
    """Whether the job may be put back into the queue, with the same id, log and result file."""
    signal_lead: int | None = None
    """Seconds before the time limit at which the ranks get SIGUSR2; without it SIGNAL_LEAD_S if it requeues."""
    survives: bool = False
    """Whether the ranks go on without one that is lost, or without its node."""
    launched: bool = True
    """Whether the launcher starts the command once per rank; false for a command that starts ranks itself."""
    python: str = "python"
    """The interpreter, where the site names no environment to activate."""

    @property
    def ranks(self) -> int:
        """Ranks altogether."""
        if self.ranks_per_node:
            return self.nodes * self.ranks_per_node
        return self.nodes * self.gpus_per_node + 1 if self.gpus_per_node else self.nodes


def script(request: Request, site: Site) -> str:
    """The batch script. JobError for a value that would break its line."""
    lines = [
        "#!/bin/bash",
        "# Written by hpcfl; can be handed in again with sbatch.",
        *(f"#SBATCH {option}" for option in options(request, site)),
        "",
        "set -e",
        *preparation(request, site),
        "",
        command(request, site),
    ]
    return "\n".join(lines) + "\n"


def options(request: Request, site: Site) -> Iterator[str]:
    """The options of sbatch, one per line."""
    for name, value in table(request, site).items():
        if value is True:
            yield f"--{name}"
        elif value is not None:
            text = str(value)
            if any(sign in text for sign in "\n\r\"'\\"):
                raise JobError(f"--{name} = {text!r}: should have no quotes, backslashes or line breaks")
            yield f'--{name}="{text}"' if " " in text else f"--{name}={text}"
    yield from site.sbatch


def table(request: Request, site: Site) -> dict[str, str | int | bool | None]:
    """Option of sbatch -> value; None leaves it out, true takes no value."""
    per_node, gpus = request.ranks_per_node, request.gpus_per_node
    lead = request.signal_lead or (SIGNAL_LEAD_S if request.requeue else None)
    if request.launched and site.launcher == "mpirun":
        # MPICH's mpirun dies of SIGUSR2: the run ends by the clock, as SLURM_JOB_END_TIME tells
        if request.signal_lead:
            raise JobError("--signal-lead: mpirun does not pass the signal on; use srun, or leave the option out")
        lead = None
    told = "USR2" if request.launched else "B:USR2"  # srun's tasks get it, not the shell that waits for them
    return {
        "job-name": request.name,
        "output": request.output,
        "open-mode": "append",  # a job that was requeued goes on in its log
        "partition": request.partition or site.partition,
        "account": request.account or site.account,
        "qos": request.qos or site.qos,
        "time": request.time,
        "nodes": request.nodes,
        # the first node has the server besides, the others a rank less: the sum, and what no node may exceed, without
        # which Slurm fills one node before the next
        "ntasks": None if per_node or not gpus else request.ranks,
        "ntasks-per-node": per_node or (gpus + 1 if gpus else 1),
        "cpus-per-task": request.cpus_per_rank,
        "gpus-per-node": gpus or None,
        "array": request.array,
        "dependency": "afterok:" + ":".join(request.after) if request.after else None,
        "kill-on-invalid-dep": "yes" if request.after else None,
        "no-kill": request.survives or None,  # when a node fails
        "requeue" if request.requeue else "no-requeue": True,
        "signal": f"{told}@{lead}" if lead else None,
    }


def preparation(request: Request, site: Site) -> Iterator[str]:
    """What comes before the ranks."""
    if site.modules:
        yield f"module load {' '.join(map(shlex.quote, site.modules))}"
    if site.environment:
        yield activation(site.environment)
    elif folder := str(PurePosixPath(request.python).parent).removeprefix("."):
        yield f"export PATH={shlex.quote(folder)}:$PATH"
    if site.interface:
        yield f"export NCCL_SOCKET_IFNAME={site.interface} GLOO_SOCKET_IFNAME={site.interface}"
    if request.gpus_per_node and not request.ranks_per_node:
        yield "unset SLURM_NTASKS_PER_NODE  # a limit here; srun would take it for the number, and complain"
    yield from site.setup


def command(request: Request, site: Site) -> str:
    """What starts the ranks."""
    python = "python" if site.environment else shlex.quote(PurePosixPath(request.python).name)
    program = f"{python} -m hpcfl {request.arguments}"
    if not request.launched:
        return f"exec {program}"
    if site.launcher == "mpirun":
        return f"exec mpirun -np {request.ranks} {program}"
    # said again: since Slurm 22.05 srun does not take it from the batch job. Nothing binds GPUs: every rank sees those
    # that the job has on its node, and takes its own
    living = "--kill-on-bad-exit=0 --no-kill --wait=0 " if request.survives else ""
    return f"srun {living}--cpus-per-task={request.cpus_per_rank} --cpu-bind=cores {program}"
