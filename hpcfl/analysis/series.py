"""Runs that differ only in their seed are one series: one curve with a band, one bar with its spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcfl.analysis.columns import settings
from hpcfl.analysis.tables import Run, many
from hpcfl.checkpoint.identity import is_free
from hpcfl.errors import JobError

__all__ = ["Series", "series"]

MOST_WORDS = 4
"""Keys in a label; runs that differ in more are told by the names of their jobs."""
FIRST = ("strategy", "schedule", "partition", "model", "data")
"""Keys that say most to a reader."""


@dataclass(frozen=True)
class Series:
    """Runs of one job with several seeds."""

    label: str
    runs: tuple[Run, ...]

    @property
    def legend(self) -> str:
        """The label, with the number of seeds where they are several."""
        return f"{self.label} ({len(self.runs)} seeds)" if len(self.runs) > 1 else self.label


def series(runs: Run | Iterable[Run], labels: Sequence[str] = ()) -> list[Series]:
    """The runs by their jobs but for the seed, in the order in which they are given.

    A label has as few keys as tell a job from the others, say "fedprox, mu 0.1"; `labels`, one for each, are
    used instead; JobError if there are not as many.
    """
    grouped: dict[str, list[Run]] = {}
    for run in many(runs):
        grouped.setdefault(repr(sorted(_settings(run).items())), []).append(run)
    if labels and len(labels) != len(grouped):
        raise JobError(
            f"--label: given {len(labels)} times for {len(grouped)} series; runs that differ only in the seed are one"
        )
    names = labels or _labels([members[0] for members in grouped.values()])
    return [Series(name, tuple(members)) for name, members in zip(names, grouped.values())]


def _settings(run: Run) -> dict[str, Any]:
    """The keys that decide numbers, the seed apart."""
    return {key: value for key, value in settings(run.job).items() if key != "seed" and not is_free(key)}


def _labels(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart, or their jobs' or their files' names where it is nothing or too much."""
    jobs = [_settings(run) for run in runs]
    keys = _telling(jobs)
    if len(jobs) == 1 or len(keys) > MOST_WORDS:
        names = [str(run.job.get("name") or run.path.stem) for run in runs]
        if len(set(names)) < len(names):  # files cannot have one name, unless they lie in several folders
            names = [run.path.stem for run in runs]
        return [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, 1)]
    return [_told(job, keys) for job in jobs]


def _telling(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """As few keys as tell the jobs apart: components first, then whichever tells most."""
    every = [*FIRST, *sorted({key for job in jobs for key in job} - set(FIRST))]
    chosen: list[str] = []
    while (apart := _apart(jobs, chosen)) < len(jobs):
        more = {key: _apart(jobs, [*chosen, key]) for key in every}
        chosen.append(next((key for key in FIRST if more[key] > apart), None) or max(more, key=more.get))
    return chosen


def _apart(jobs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    """How many kinds of jobs the keys tell apart."""
    return len({repr([job.get(key) for key in keys]) for job in jobs})


def _told(job: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The job's values of these keys: words stand alone, numbers behind their key."""
    said = []
    for key in keys:
        value, word = job.get(key), key.rpartition(".")[2]
        if isinstance(value, str) and value[:1] not in ("[", "{"):
            said.append(value.rpartition(".")[2])
        elif value is not None:
            said.append(f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}")
    return ", ".join(said) or f"no {keys[0].rpartition('.')[2]}"
