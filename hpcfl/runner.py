"""One job from its file to its result: ranks meet, agree on what to do, do it, and end together."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from hpcfl.core import first_line
from hpcfl.errors import HpcflError, Refused
from hpcfl.jobfile import read, tell
from hpcfl.launch import Placement, unstarted
from hpcfl.memory import importing
from hpcfl.signals import Outlook
from hpcfl.transport.network import choose_network
from hpcfl.transport.rendezvous import Rendezvous, meet

if TYPE_CHECKING:
    import torch

    from hpcfl.transport.group import Group, Solo

__all__ = ["agree", "agree_device", "connect", "run_job"]

T = TypeVar("T")
DOWNLOAD_S = 7200.0
"""Longest wait for another rank's download [s]."""


def run_job(placement: Placement, outlook: Outlook, job: str | None, overrides: Sequence[str], out: str | None) -> None:
    """Run the job on all ranks of this launch; every rank calls it. Refused or HpcflError where it cannot."""
    rendezvous = meet(placement)
    file = agree(placement, rendezvous, lambda: read(job, overrides, out), lambda file: file.digest)
    if placement.rank == 0:
        tell(job, file.notes)
        if lost := unstarted(placement, os.environ):
            print(f"note: {lost}", file=sys.stderr, flush=True)

    with importing():
        from hpcfl.rank import run_rank  # PyTorch is imported from here on

    run_rank(placement, rendezvous, file, outlook)


def agree(
    placement: Placement,
    rendezvous: Rendezvous,
    action: Callable[[], T],
    fingerprint: Callable[[T], str] = lambda value: "",
    limit_s: float | None = None,
) -> T:
    """Do `action` on every rank and go on only if it succeeded on all, with equal fingerprints.

    Otherwise rank 0 prints one message, and every rank raises Refused.
    """
    try:
        value = action()
        said = f"ok {fingerprint(value)}"
    except HpcflError as failure:
        said = f"{failure.exit_code} {failure}"
    except Exception as failure:  # a defect of ours, or of the user's own module: its place matters
        traceback.print_exc()
        said = f"1 {first_line(failure)}"
    answers = rendezvous.exchange(said, **({"limit_s": limit_s} if limit_s else {}))
    if all(answer == answers[0] and answer.startswith("ok") for answer in answers):
        return value
    if placement.rank == 0:
        print(f"hpcfl: error: {disagreement(answers)}", file=sys.stderr, flush=True)
    if placement.size > 1:
        rendezvous.exchange("told")  # a rank that ended earlier would make the launcher kill rank 0 before it spoke
    codes = [int(answer.split()[0]) for answer in answers if not answer.startswith("ok")]
    raise Refused(max(codes, default=1))


def agree_device(placement: Placement, rendezvous: Rendezvous, kind: str) -> torch.device:
    """This rank's device, chosen with the knowledge of what every rank sees."""
    import torch

    from hpcfl.build import choose_device

    gpus = [int(said) for said in rendezvous.exchange(str(torch.cuda.device_count()))]
    return agree(placement, rendezvous, lambda: choose_device(kind, placement, gpus))


def disagreement(answers: list[str]) -> str:
    """One message out of every rank's answer, "ok FINGERPRINT" or "CODE REASON"."""
    failed = {rank: answer.partition(" ")[2] for rank, answer in enumerate(answers) if not answer.startswith("ok")}
    if not failed:
        others = [str(rank) for rank, answer in enumerate(answers) if answer != answers[0]]
        return (
            f"rank {', '.join(others)} does not have the same job, data or first model as rank 0: "
            "check that the job file, the datasets and the installed versions are the same on every node"
        )
    reasons: dict[str, list[int]] = {}
    for rank, reason in failed.items():
        reasons.setdefault(reason, []).append(rank)
    if len(reasons) == 1 and len(failed) == len(answers):
        return next(iter(reasons))
    return "\n".join(f"rank {', '.join(map(str, ranks))}: {reason}" for reason, ranks in reasons.items())


def connect(
    placement: Placement, rendezvous: Any, device: Any, timeout_s: float, interface: str | None = None,
    silence_s: float | None = None, joinable: bool = False,
) -> Group | Solo:  # fmt: skip
    """The transport between all ranks, over the network `interface` where they are on several hosts.

    `silence_s`: it goes on without ranks that give no sign of life for so long. `joinable`: others may join.
    """
    from hpcfl.transport.group import Group, Solo
    from hpcfl.transport.survivors import Survivors

    if placement.size == 1:
        return Solo()
    agree(placement, rendezvous, lambda: choose_network(interface, os.environ))
    given = placement, rendezvous.store(), device, timeout_s
    return Group(*given) if silence_s is None else Survivors(*given, silence_s, joinable=joinable)
