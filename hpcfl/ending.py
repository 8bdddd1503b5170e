"""How a run that was asked to end leaves: what it says, its exit code, and the way back into Slurm's queue."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

from hpcfl.checkpoint.keeper import Keeper
from hpcfl.schema import Checkpoint
from hpcfl.signals import ENDS, Outlook
from hpcfl.timelimit import UNFINISHED, requeue, slurm_job

__all__ = ["UNFINISHED", "conclude", "go_on"]


def conclude(
    keeper: Keeper, outlook: Outlook, given: Checkpoint, environ: Mapping[str, str], argv: Sequence[str]
) -> int:
    """Say how the run ended and how it goes on; the exit code: 0 if it was put back into the queue."""
    tell(f"stopped by {keeper.ends} {outlook.place}; {outlook.file} is readable up to there")
    if keeper.last < 0:
        tell("there is no checkpoint to go on from")
    else:
        tell(f"go on with: {go_on(argv, outlook.file)}")
    if not keeper.signal and keeper.made <= 1:
        tell(f"the time limit hardly leaves room for a round, which takes {keeper.limit.step_s:.0f} s: ask for more")
    if keeper.signal in ENDS:
        return 128 + keeper.signal
    return 0 if given.requeue and requeued(keeper, environ) else UNFINISHED


def requeued(keeper: Keeper, environ: Mapping[str, str]) -> bool:
    """Whether Slurm will start the job again."""
    job = slurm_job(environ)
    if keeper.last <= keeper.first or keeper.last < 0:
        refusal = "no round was made and kept since the last start, and the next one would not get further"
    else:
        refusal = requeue(job) if job else "this is no Slurm job"
    tell(f"not put back into the queue: {refusal}" if refusal else f"job {job} is back in the queue")
    return refusal is None


def go_on(argv: Sequence[str], file: str) -> str:
    """The command line that resumes."""
    words = ["hpcfl", *(argv[1:] or ["run"])]
    if not any(word.partition("=")[0] == "--out" for word in words):
        words += ["--out", file]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def tell(line: str) -> None:
    """A line of its own, on stderr."""
    print(f"hpcfl: {line}", file=sys.stderr, flush=True)
