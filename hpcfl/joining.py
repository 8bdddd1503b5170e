"""A process that joins a run: it asks rank 0 for the job, builds its parts, and trains as any client rank does."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from hpcfl import build
from hpcfl.core import first_line
from hpcfl.errors import HpcflError, LaunchError
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.rank import build_pool, download, fail
from hpcfl.schema import JobSpec
from hpcfl.survival import follow
from hpcfl.transport.door import Address, hear, say
from hpcfl.transport.latecomer import Latecomer
from hpcfl.transport.network import choose_network
from hpcfl.transport.node import locality
from hpcfl.welcome import credentials, versions

__all__ = ["join_run"]

PATIENCE_S = 30.0
"""Longest wait for rank 0's first answer [s]."""


def join_run(placement: Placement, where: Address) -> None:
    """Be a client rank of the run at that address until it ends; LaunchError if it cannot be or wants nobody.

    `placement` says which of its node's GPUs the process takes.
    """
    try:
        line = socket.create_connection((where.host, where.port), PATIENCE_S)
        say(line, secret=where.secret)
        say(line, versions=versions())
    except OSError as failure:
        raise LaunchError(
            f"nobody at {where.host}:{where.port} ({failure}): the run is over, or cannot be reached from this host"
        ) from None
    told = heard(line, where)
    job = understand(told)
    line.settimeout(job.spec.server.timeout_s)
    parts = make(job, placement, told)
    reply(line, credentials=credentials(job, parts), process=os.getpid(), place=locality(), host=socket.gethostname())
    told = heard(line, where)
    choose_network(told["network"], os.environ)
    transport = Latecomer(line, where.host, told, parts.world.initial.device, job.spec.server.timeout_s)
    print(f"joined the run at {where.host}:{where.port} as rank {told['rank']}", flush=True)

    def renew(_: str) -> Any:
        return build_pool(job.spec, parts, transport)

    with transport:
        try:
            follow(renew("" if told["apart"] else transport.mend()), transport, renew)
        except Exception as failure:
            if isinstance(failure, HpcflError):
                print(f"hpcfl: error: {failure}", file=sys.stderr, flush=True)
            fail(transport, Placement(rank=told["rank"], size=told["rank"] + 1), failure)
    print("the run is over")


def heard(line: socket.socket, where: Address) -> dict[str, Any]:
    """Rank 0's answer; LaunchError says why it is none, or a refusal."""
    try:
        told = hear(line)
    except (OSError, ValueError) as failure:
        raise LaunchError(
            f"{where.host}:{where.port} does not answer ({failure}): the run is over, or this is not its address"
        ) from None
    if told["refused"]:
        raise LaunchError(f"the run at {where.host}:{where.port} refuses: {told['refused']}")
    return told


def reply(line: socket.socket, **facts: Any) -> None:
    """Say it to rank 0; LaunchError if that is gone."""
    try:
        say(line, **facts)
    except OSError as failure:
        raise LaunchError(f"the run ended before this process could join: {first_line(failure)}") from None


def understand(told: dict[str, Any]) -> JobFile:
    """The job as rank 0 has it, in the folder where the run was started, if there is such a one here."""
    if Path(told["cwd"]).is_dir():
        os.chdir(told["cwd"])
    spec = JobSpec.parse(told["job"], told["name"])
    return JobFile(told["text"], spec, Path(told["folder"]) if told["folder"] else None)


def make(job: JobFile, placement: Placement, told: dict[str, Any]) -> build.Parts:
    """This rank's parts, trained as those of the others."""
    if job.spec.data.download:
        download(placement, job.spec.data)
    alone = Placement(local_rank=placement.local_rank)
    device = build.choose_device(told["device"], alone, [torch.cuda.device_count()])
    parts = job.explain(build.assemble, job, device, trains=True, serves=False)
    parts.execution.take_over(told["size"])
    parts.execution.settle([parts.execution.graphs, told["graphs"]])
    return parts
