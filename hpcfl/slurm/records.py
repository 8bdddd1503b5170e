"""Which jobs were handed in from here, where their results go: a line of JSON each, only ever appended to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcfl.errors import SlurmError
from hpcfl.slurm.array import indices

__all__ = ["Record", "home", "recorded", "remember"]


@dataclass(frozen=True)
class Record:
    """A job as it was handed in; paths are absolute, with Slurm's codes in them."""

    id: str
    name: str
    job: str
    """The job file."""
    result: str
    log: str
    array: str | None
    submitted: str
    """When (ISO 8601)."""

    def tasks(self) -> dict[str, Record]:
        """Id in the queue -> the record with its own paths: of each task of an array, or of the job itself."""
        if self.array is None:
            return {self.id: self._of(self.id, {"%j": self.id})}
        numbers = {f"{self.id}_{index}": str(index) for index in indices(self.array)}
        return {task: self._of(task, {"%A": self.id, "%a": index}) for task, index in numbers.items()}

    def _of(self, task: str, codes: Mapping[str, str]) -> Record:
        result, log = self.result, self.log
        for code, value in codes.items():
            result, log = result.replace(code, value), log.replace(code, value)
        return Record(task, self.name, self.job, result, log, None, self.submitted)


def home(environ: Mapping[str, str]) -> Path:
    """The folder of the records: HPCFL_HOME, else ~/.local/state/hpcfl."""
    return Path(environ.get("HPCFL_HOME") or "~/.local/state/hpcfl").expanduser().absolute()


def remember(record: Record) -> None:
    """Append the record. SlurmError where that fails; the job is in the queue all the same."""
    path = home(os.environ) / "jobs.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # one write: two that submit at once do not mix
            file.write(json.dumps(asdict(record)).encode() + b"\n")
    except OSError as failure:
        raise SlurmError(f"job {record.id} is in the queue, but hpcfl status will not know it: {failure}") from None


def recorded() -> list[Record]:
    """All records, the oldest first; lines that are none, of a newer hpcfl or torn by a full disk, are skipped."""
    try:
        lines = (home(os.environ) / "jobs.jsonl").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise SlurmError(f"the records of submitted jobs cannot be read: {failure}") from None
    records = []
    for line in lines:
        try:
            records.append(Record(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return records
