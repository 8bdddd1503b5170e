"""What comparisons take of a result file: the job's settings, how each round went, and the clients' last accuracies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hpcfl.checkpoint.identity import ABSENT, is_free
from hpcfl.errors import JobError, ResultError
from hpcfl.results import Reader, open_results
from hpcfl.results.finding import find, inside
from hpcfl.schema import JobSpec

__all__ = ["Run", "collect", "differing", "finished", "last_own", "read", "require_keys", "said", "same", "settings"]

COLUMNS = ("step", "time", "wall", "accuracy", "loss", "client_accuracy", "client_bytes_up", "client_bytes_down")
PLACE = ("ranks", "devices", "hpcfl", "torch")
"""What of the environment wall time depends on."""

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A result file, read and closed."""

    path: Path
    status: str
    planned: int
    """Rounds that the job asks for; 0 where it does not say."""
    settings: dict[str, Any]
    """The job's keys as `--set` has them, each with its value; a component's name stands under the component's key."""
    place: dict[str, str]
    """Where it ran."""
    rounds: dict[str, np.ndarray]
    """Columns of /rounds, (R,) each; NaN where the file has no such column."""
    own: np.ndarray
    """(N,) accuracies of the clients' own models at the last evaluation, NaN without samples; (0,) without any."""


def read(path: Path) -> Run:
    """The run in a result file, finished or not; ResultError if it has no round."""
    with open_results(path) as run:
        steps = run.rounds["step"]
        rounds = {name: run.rounds[name] if name in run.rounds else np.full(len(steps), np.nan) for name in COLUMNS}
        place = {name: told(run.environment[name]) for name in PLACE if run.environment.get(name) is not None}
        job = run.job
        return Run(path, run.status, job.get("rounds") or 0, settings(job), place, rounds, last_own(run))


def last_own(run: Reader) -> np.ndarray:
    """Accuracies of the clients' own models on what the clients kept back or, where none kept any, on the test set."""
    if not len(run.own):
        return np.zeros(0)
    kept_back = run.own["accuracy"][-1]
    return run.own["test_accuracy"][-1] if np.isnan(kept_back).all() and "test_accuracy" in run.own else kept_back


def finished(path: Path) -> Run:
    """The run in a result file; ResultError if it has not finished."""
    run = read(path)
    if run.status != "finished":
        raise ResultError(f"{path} is of a run that has not finished ({run.status})")
    return run


def collect(paths: Sequence[Path], take: Callable[[Path], T]) -> tuple[list[T], list[str]]:
    """What is taken of each result file, of those that patterns name, and of those in folders; and a line for each one
    in a folder that is left out.

    ResultError for a file that is given and cannot be taken, and where none is left.
    """
    taken, notes = [], []
    for path in paths:
        if not path.is_dir():
            taken += map(take, find(path))
            continue
        for file in inside(path):
            try:
                taken.append(take(file))
            except ResultError as failure:
                notes.append(f"left out: {failure}")
    if not taken:
        raise ResultError("\n".join([f"no result files to be taken in {', '.join(map(str, paths))}", *notes]))
    return taken, notes


def settings(job: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved job by the keys that people write: strategy, strategy.mu, client.lr; defaults are filled in."""
    with suppress(JobError):  # one of an older hpcfl: keys that came later have their defaults
        job = JobSpec.parse(dict(job), "").resolved()
    return dict(_keys(job))


def _keys(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if name == "params" and above and isinstance(value, Mapping):
            yield from ((f"{above}.{parameter}", given) for parameter, given in value.items())
        elif isinstance(value, Mapping):
            yield from _keys(value, f"{above}.{name}" if above else name)
        elif name == "name" and above:
            yield above, value
        else:
            yield f"{above}.{name}" if above else name, value


def differing(runs: Iterable[Run]) -> dict[str, list[Any]]:
    """Keys in which the runs' jobs differ, among those that decide a number, with each run's value, or ABSENT."""
    jobs = [run.settings for run in runs]
    keys = sorted({key for job in jobs for key in job})
    values = {key: [job.get(key, ABSENT) for job in jobs] for key in keys if not is_free(key)}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each[1:])}


def require_keys(keys: Iterable[str], runs: Sequence[Run]) -> None:
    """ResultError for a key that no job has: with the nearest valid ones, or those in which the runs differ."""
    known = sorted({key for run in runs for key in run.settings})
    for key in keys:
        if key in known:
            continue
        last = {name: name.rpartition(".")[2] for name in known}
        near = [name for name in known if last[name] == key.rpartition(".")[2]]
        near = (near or get_close_matches(key, known, n=3, cutoff=0.6))[:3] or [
            name for name in known if last[name] in get_close_matches(key.rpartition(".")[2], last.values(), n=2)
        ]
        hint = f"did you mean {' or '.join(near)}?" if near else f"the runs differ in {_listed(differing(runs))}"
        raise ResultError(f"{key}: no job has this key; {hint}")


def said(value: Any) -> str:
    """A setting as `--set` takes it, in one line, whole numbers without a point; "-" for one that is not there."""
    if isinstance(value, str):
        return "-" if value == ABSENT else " ".join(value.split())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value is None else json.dumps(value, sort_keys=True)


def same(word: str, text: str) -> bool:
    """Whether a setting (as `said`) is what `text` says: 0.1 is 0.10 too."""
    if word == text:
        return True
    with suppress(ValueError):
        return json.loads(word) == json.loads(text)
    return False


def told(value: Any) -> str:
    """A fact of the environment; of a list each item once, with how often it is there."""
    if not isinstance(value, list):
        return str(value)
    return ", ".join(f"{value.count(item)} x {item}" for item in dict.fromkeys(value))


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(keys) or "nothing"
