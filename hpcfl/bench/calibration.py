"""`hpcfl bench JOB`: the job's own rounds under every setting of `execution`, and which one to take here."""

from __future__ import annotations

from statistics import median
from typing import Any, get_args

from hpcfl.bench.race import Ours, rounds_of, time_rounds
from hpcfl.bench.workloads import WARM_UP
from hpcfl.build import Parts, assemble
from hpcfl.errors import HpcflError, JobError
from hpcfl.jobfile import JobFile
from hpcfl.plan import overlaps
from hpcfl.schema import JobSpec

__all__ = ["assembled", "compare", "recommendation", "settings"]

EXECUTION = "execution"
ROUNDS = 6
"""Measured ones, unless --repeats says."""
CLEAR = 0.03
"""A gain below this share of a round is within what machines vary."""


def settings(job: JobFile) -> dict[str, JobFile]:
    """The job under every setting of `execution` but auto; as it is where there is nothing to choose."""
    if job.spec.clock == "wall":
        raise JobError('clock = "wall": such rounds wait for simulated devices; bench times those of the virtual clock')
    field = JobSpec.model_fields.get(EXECUTION)
    names = [name for name in get_args(field.annotation) if name != "auto"] if field else []
    jobs = {
        name: JobFile(job.text, job.spec.model_copy(update={EXECUTION: name}), job.folder, job.notes) for name in names
    }
    return jobs or {"sequential": job}


def assembled(job: JobFile, device: Any, trains: bool) -> Parts | str:
    """The job's parts, or why this setting cannot be; a mistake in the job itself is for every setting the same."""
    try:
        parts = assemble(job, device, trains=trains, serves=True)
    except HpcflError as refusal:
        return str(refusal)
    if overlaps(parts.schedule):
        raise JobError(
            f"schedule = {job.spec.schedule.name!r}: its jobs come one by one, so that there are no rounds to time; "
            "`hpcfl bench async` measures how they pass through the server"
        )
    return parts


def compare(jobs: dict[str, JobFile], built: dict[str, Parts | str], transport: Any, repeats: int | None) -> list[dict]:
    """Each setting's row: seconds per round, or why it cannot be; on rank 0."""
    contenders = [
        Ours(name, jobs[name], parts, transport) for name, parts in built.items() if not isinstance(parts, str)
    ]
    steps = rounds_of(contenders[0].parts, WARM_UP + (repeats or ROUNDS))
    time_rounds(transport, contenders, steps[:WARM_UP])
    taken = time_rounds(transport, contenders, steps[WARM_UP:])
    if transport.rank:
        return []
    seconds = {contender.name: median(each) for contender, each in zip(contenders, taken)}
    return [
        {EXECUTION: name, "hpcfl_s": seconds.get(name), "refused": parts if isinstance(parts, str) else None}
        for name, parts in built.items()
    ]


def recommendation(rows: list[dict], given: str) -> str:
    """One sentence."""
    known = {row[EXECUTION]: row["hpcfl_s"] for row in rows if row["hpcfl_s"]}
    if len(known) == 1:
        (only,) = known
        return f'This job trains one way only: {EXECUTION} = "{only}".'
    best, worst = min(known, key=known.get), max(known, key=known.get)
    gain = known[worst] / known[best]
    if gain < 1 + CLEAR:
        return f'Leave {EXECUTION} = "{given}": here both take the same time.'
    return f'Set {EXECUTION} = "{best}": here a round takes {gain:.2f} times as long with "{worst}".'
