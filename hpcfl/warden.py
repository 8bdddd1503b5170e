"""A parent for each rank: whatever ends the rank, its launcher sees an ordinary end, and lets the others live.

mpirun ends all ranks as soon as one of them is gone, and srun can be told to. In a job that goes on without lost ranks
the process that was started does not train itself: it waits for a child that does, and for the end of the run.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from hpcfl.errors import HpcflError
from hpcfl.launch import Placement

__all__ = ["stand_by"]

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
LIMIT_S = 30.0
"""Longest wait for a connection [s]."""
GRACE_S = 15.0
"""How much later than rank 0 a rank may end [s]: one that lost it waits 10 s for its last word."""
POLL_S = 0.02


def stand_by(placement: Placement, job: str | None, overrides: Sequence[str], out: str | None) -> Callable[..., Any]:
    """Go on as a child where the job wants to survive; what it calls when the rounds begin: (host, port) of rank 0.

    Until then the parent ends as the child does, so that a start that fails ends everywhere. To be called before any
    thread is started.
    """
    if placement.size == 1 or not _survives(job, overrides, out):
        return lambda host, port: None
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # with which MPICH's mpirun tells of a rank that is gone
    steady, told = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child:
        os.close(told)
        _wait(child, steady, placement)
    os.close(steady)
    with suppress(OSError, AttributeError):  # Linux: if the parent is killed, so is this process
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    return lambda host, port: os.write(told, f"{host} {port}".encode())


def _survives(job: str | None, overrides: Sequence[str], out: str | None) -> bool:
    from hpcfl.jobfile import read

    try:
        return read(job, overrides, out).spec.server.on_rank_failure == "continue"
    except HpcflError:
        return False  # the ranks say so together


def _wait(child: int, steady: int, placement: Placement) -> None:
    """Until the child ends, and once the rounds have begun until rank 0 does: its end is that of the run."""
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: os.kill(child, number))
    server = os.read(steady, 300).decode().split()  # nothing, where the child ended before the rounds began
    if server and placement.rank:
        _wait_for_end(server[0], int(server[1]))
        end = monotonic() + GRACE_S
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if monotonic() > end:  # it hangs, and the run was over before anybody missed it
                os.kill(child, signal.SIGKILL)
            sleep(POLL_S)
    else:
        ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended[1])
    if server and placement.launcher == "mpich" and (code > 0 or (code < 0 and placement.rank)):
        _take_leave(int(os.environ["PMI_FD"]))
    if server and placement.rank:
        code = 0
    os._exit(code if code >= 0 else 128 - code)


def _take_leave(manager: int) -> None:
    """Say what the child would have said at its end, and without which MPICH's mpirun kills those that are left."""
    with suppress(OSError):
        os.write(manager, b"cmd=finalize\n")
        if select.select([manager], [], [], LIMIT_S)[0]:
            os.read(manager, 100)


def _wait_for_end(host: str, port: int) -> None:
    """Until rank 0 ends, and with it the connections to its store."""
    with suppress(OSError), socket.create_connection((host, port), LIMIT_S) as line:
        line.settimeout(None)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # of a node that is gone no word comes
        for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 8)):
            line.setsockopt(socket.IPPROTO_TCP, option, value)
        line.recv(1)
