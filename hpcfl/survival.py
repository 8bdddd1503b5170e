"""How a run goes on without the ranks that were lost: what it needs for that, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcfl.errors import JobError, LostRankError
from hpcfl.flower.adapter import Adapter
from hpcfl.schema import JobSpec

__all__ = ["follow", "note_losses", "require_roaming", "require_way_back"]


def require_way_back(spec: JobSpec, strategy: Any) -> None:
    """JobError where a lost rank takes along what cannot be made again."""
    if spec.server.on_rank_failure == "continue" and strategy.private and isinstance(strategy, Adapter):
        raise JobError(
            f'server.on_rank_failure = "continue": strategy = {spec.strategy.name!r}, whose clients keep something, '
            'cannot go back to a checkpoint within a run; valid is "stop", or communication.compression = "none"'
        )
    if spec.server.on_rank_failure == "continue" and strategy.private and not spec.checkpoint.every:
        raise JobError(
            f'server.on_rank_failure = "continue": {stateful(spec)} keeps state with each client, which a rank that '
            "dies takes along; say checkpoint.every = N too: the run then goes back to the last checkpoint"
        )


def require_roaming(spec: JobSpec, strategy: Any) -> None:
    """JobError where a rank that joins could not train anybody, as clients stay where their state is."""
    if spec.server.joinable and strategy.private:
        raise JobError(
            f"server.joinable = true: {stateful(spec)} keeps state with each client, so that every client stays on the "
            "rank it began on and none is left for a rank that joins; leave joinable out"
        )


def stateful(spec: JobSpec) -> str:
    """What of the job keeps state with each client."""
    what = f"strategy = {spec.strategy.name!r}"
    if spec.communication.compression.name != "none":
        what += f" with communication.compression = {spec.communication.compression.name!r}"
    return what


def follow(pool: Any, transport: Any, renew: Callable[[str], Any]) -> None:
    """On a client rank: train what rank 0 orders until it closes; `renew(checkpoint)` makes the pool of those left."""
    while True:
        try:
            return pool.serve()
        except LostRankError:
            pool = renew(transport.mend())


def note_losses(transport: Any, writer: Any, say: Callable[[str], None]) -> None:
    """On rank 0: record and tell which ranks joined or were lost since the last call."""
    for rank, host in transport.joins():
        writer.join(rank, host)
        say(f"rank {rank} of {host} joined")
    for rank, why in transport.losses():
        writer.loss(rank, why)
        say(f"{why}; the run goes on without it")
