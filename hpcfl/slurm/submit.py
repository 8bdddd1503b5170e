"""A job handed in to Slurm: checked here and now, so that no mistake waits in a queue for hours."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcfl.errors import JobError
from hpcfl.jobfile import QUICKSTART, JobFile, read, tell
from hpcfl.memory import importing
from hpcfl.slurm.array import indices
from hpcfl.slurm.client import ask
from hpcfl.slurm.records import Record, remember
from hpcfl.slurm.script import Request, script
from hpcfl.slurm.site import Site

__all__ = ["prepare", "send", "submit"]

CODES = {"%j": "SLURM_JOB_ID", "%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID"}
"""Slurm's codes in a file's name -> the variables that say the same in a job's shell."""
REQUEUED = ("checkpoint.requeue=true", "checkpoint.resume=auto")
"""What a job that comes back into the queue needs to know."""


def submit(
    job: str | None, overrides: Sequence[str], out: str | None, wanted: Mapping[str, Any], site: Site, dry_run: bool
) -> None:
    """Check the job, hand it in, and say where to look; or print the script. JobError as of `run`, or SlurmError."""
    if wanted.get("requeue"):
        overrides = (*REQUEUED, *overrides)
    file = check(job, overrides, out, wanted.get("array"), writes=not dry_run)
    request, result = prepare(job, file, overrides, out, {**wanted, "requeue": file.spec.checkpoint.requeue})
    text = script(request, site)
    if dry_run:
        print(text, end="")
        return
    record = send(text, request, job or QUICKSTART, result)
    ranks = f"{request.ranks} rank{'s' * (request.ranks != 1)} on {request.nodes} node{'s' * (request.nodes != 1)}"
    print(f"job {record.id}: {request.name}, {ranks}")
    for title, path in (("log:    ", request.output), ("results:", result)):
        print(title, path.replace("%j", record.id).replace("%A", record.id))
    print(f"look after it: hpcfl status; end it: hpcfl cancel {record.id}")


def check(
    job: str | None, overrides: Sequence[str], out: str | None, array: str | None, *, writes: bool = True
) -> JobFile:
    """The job, if `run` would take it: for an array every index, the first one with its data and model."""
    numbers = [0] if array is None else indices(array)
    if array is not None and not any("%a" in override for override in overrides):
        raise JobError(f"--array {array}: would be equal runs; say where the index goes, as --set seed=%a")
    with importing():
        from hpcfl.validate import check as check_parts  # imports PyTorch

    files = [
        read(job, [fill(override, number) for override in overrides], out and fill(out, number)) for number in numbers
    ]
    tell(job, files[0].notes)
    check_parts(files[0])
    if writes:
        from hpcfl.results import Writer

        for number in numbers:
            path = Path(fill(name_result(files[0], out, array), number))
            taken = files[0].spec.results.overwrite or files[0].spec.checkpoint.resume != "no"
            Writer(path, overwrite=taken).close()  # which says what is wrong with the path
    return files[0]


def prepare(
    job: str | None, file: JobFile, overrides: Sequence[str], out: str | None, wanted: Mapping[str, Any]
) -> tuple[Request, str]:
    """What Slurm is asked for, and the result file's path with Slurm's codes."""
    result = name_result(file, out, wanted.get("array"))
    words = ["run", *([job] if job else [])]
    for override in overrides:
        words += ["--set", override]
    arguments = " ".join(quote(word) for word in (*words, "--out", result))
    log = str(Path(result).with_suffix(".log"))
    survives = file.spec.server.on_rank_failure == "continue"
    return Request(file.spec.name, arguments, log, python=sys.executable, survives=survives, **wanted), result


def name_result(file: JobFile, out: str | None, array: str | None) -> str:
    """Where the results go: what is said, else results/NAME-ID.h5, which a job keeps when it is requeued."""
    given = out or file.spec.results.path
    if given and array is not None and "%a" not in given:
        raise JobError(f"results.path = {given!r}: all runs of an array would write it; say --out with %a in it")
    return given or f"results/{file.spec.name}-{'%j' if array is None else '%A_%a'}.h5"


def send(text: str, request: Request, job: str, result: str) -> Record:
    """Hand the script in, and keep a record. SlurmError with sbatch's own words if it refuses."""
    Path(request.output).parent.mkdir(parents=True, exist_ok=True)  # without it, Slurm ends the job without a word
    number = ask("sbatch", "--parsable", given=text).strip().partition(";")[0]
    places = (str(Path(path).absolute()) for path in (job, result, request.output))
    record = Record(number, request.name, *places, request.array, datetime.now().astimezone().isoformat("T", "seconds"))
    remember(record)
    return record


def fill(text: str, index: int) -> str:
    """The text with numbers for Slurm's codes."""
    return text.replace("%a", str(index)).replace("%A", "0").replace("%j", "0")


def quote(word: str) -> str:
    """For the shell; Slurm's codes become its variables."""
    if not any(code in word for code in CODES):
        return shlex.quote(word)
    for sign in '\\"$`':
        word = word.replace(sign, f"\\{sign}")
    for code, variable in CODES.items():
        word = word.replace(code, f"${{{variable}}}")
    return f'"{word}"'
