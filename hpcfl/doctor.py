"""What was detected, and does it work: launcher, ranks, nodes, devices, libraries, and messages between all ranks."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any

import h5py
import torch
from rich.console import Console
from rich.table import Table

import hpcfl
from hpcfl.data import find_root
from hpcfl.errors import RankError
from hpcfl.launch import Placement
from hpcfl.runner import agree_device, connect
from hpcfl.transport.rendezvous import Rendezvous

__all__ = ["examine"]

SIZES = {"4 KB": 1 << 10, "16 MB": 1 << 22}
"""float32 numbers per message: a header's worth, and a model's."""
TIMEOUT_S = 60.0


def examine(placement: Placement, rendezvous: Rendezvous) -> None:
    """Print what was detected, and the times of a broadcast, a reduction and a message to every rank."""
    device = agree_device(placement, rendezvous, "auto")
    where = rendezvous.exchange(f"{socket.gethostname()} {device}")
    with connect(placement, rendezvous, device, TIMEOUT_S) as transport:
        times = {name: check(transport, torch.ones(numbers, device=device)) for name, numbers in SIZES.items()}
        backend = transport.backend
    if placement.rank == 0:
        console = Console(highlight=False)
        console.print(facts(placement, rendezvous, where, backend))
        if placement.size > 1:
            console.print(table(times))
        else:
            console.print("one process: no messages to try; start it with mpirun, srun or torchrun for that")


def facts(placement: Placement, rendezvous: Rendezvous, where: list[str], backend: str) -> Table:
    """What was detected."""
    hosts = [said.split()[0] for said in where]
    nodes = {host: hosts.count(host) for host in hosts}
    devices = [said.split()[1] for said in where]
    found = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in {
        "hpcfl": f"{hpcfl.__version__} on Python {platform.python_version()}",
        "launcher": placement.launcher,
        "ranks": str(placement.size),
        "nodes": ", ".join(f"{host} ({count})" for host, count in nodes.items()),
        "devices": ", ".join(f"{device} x {devices.count(device)}" for device in dict.fromkeys(devices)),
        "cores": f"{len(os.sched_getaffinity(0))} for this rank",
        "backend": backend,
        "MPI": rendezvous.mpi,
        "PyTorch": torch.__version__,
        "HDF5": f"{h5py.version.hdf5_version} (h5py {h5py.__version__})",
        "data root": str(find_root(None, os.environ) or "none (HPCFL_DATA is not set)"),
    }.items():
        found.add_row(name, value)
    return found


def check(transport: Any, ones: torch.Tensor) -> dict[str, float]:
    """Seconds of each verb between all ranks; what arrives is checked."""
    size = transport.size

    def reduce() -> None:
        total = ones.clone()
        transport.reduce(total)
        assert_equal(transport.rank or total[-1].item(), transport.rank or size, "reduce")

    def broadcast() -> None:
        told = ones * (7 if transport.rank == 0 else 0)
        transport.broadcast(told)
        assert_equal(told[-1].item(), 7, "broadcast")

    def send() -> None:
        for rank in range(1, size):
            if transport.rank == 0:
                transport.send(ones * rank, rank)
            elif transport.rank == rank:
                given = torch.zeros_like(ones)
                transport.recv(given, 0)
                assert_equal(given[-1].item(), rank, "send")

    return {verb.__name__: timed(transport, verb) for verb in (broadcast, reduce, send)}


def timed(transport: Any, verb: Callable[[], None], repeats: int = 3) -> float:
    """The best of a few, all ranks starting together."""
    seconds = []
    for _ in range(repeats):
        transport.barrier()
        begin = perf_counter()
        verb()
        transport.barrier()
        seconds.append(perf_counter() - begin)
    return min(seconds)


def assert_equal(came: float, expected: float, verb: str) -> None:
    """A transport that delivers something else is worse than none."""
    if came != expected:
        raise RankError(f"{verb} delivered {came:g} instead of {expected:g}: the network corrupts messages")


def table(times: dict[str, dict[str, float]]) -> Table:
    """The times, in milliseconds."""
    columns = next(iter(times.values()))
    shown = Table("size", *(f"{verb}, ms" for verb in columns), box=None, padding=(0, 2, 0, 0))
    for size, seconds in times.items():
        shown.add_row(size, *(f"{1e3 * second:.2f}" for second in seconds.values()))
    return shown
