"""Read a job: a TOML file, one of Async-FL's JSON files, or one that ships with hpcfl, with `--set` on top."""

from __future__ import annotations

import hashlib
import json
import reprlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hpcfl.asyncfl.convert import Conversion, convert
from hpcfl.errors import JobError
from hpcfl.schema import JobSpec, plain_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["QUICKSTART", "JobFile", "draft", "packaged", "read", "tell"]

QUICKSTART = "quickstart"
T = TypeVar("T")


@dataclass(frozen=True)
class JobFile:
    """A job as it was written and as it was understood."""

    text: str
    """The file, verbatim."""
    spec: JobSpec
    folder: Path | None
    """Where the file lies: modules beside it can be named by dotted paths."""
    notes: tuple[str, ...] = ()
    """What the user should know of a file that was written for Async-FL."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of the job -> where that file says it, "KEY in FILE"; empty for what an override says."""

    @property
    def digest(self) -> str:
        """sha256 of the resolved job: equal for jobs that mean the same."""
        return hashlib.sha256(json.dumps(self.spec.resolved(), sort_keys=True).encode()).hexdigest()

    def explain(self, action: Callable[..., T], *given: Any, **settings: Any) -> T:
        """What the action gives; a JobError of it that begins with a key says too where Async-FL's file has it."""
        try:
            return action(*given, **settings)
        except JobError as failure:
            place = self._place(str(failure).partition(" ")[0].partition("[")[0].rstrip(":"))
            raise JobError(f"{failure} ({place})" if place else str(failure)) from None

    def _place(self, key: str) -> str | None:
        """Where the file says it, or what it lies in."""
        while key and key not in self.keys:
            key = key.rpartition(".")[0]
        return self.keys.get(key)


class Draft(NamedTuple):
    """A job as it was written, with the overrides, not checked yet."""

    name: str
    text: str
    folder: Path | None
    table: dict[str, Any]
    notes: tuple[str, ...]
    keys: dict[str, str]


def read(job: str | None, overrides: Sequence[str] = (), out: str | None = None) -> JobFile:
    """The job at the path `job` (None: the quickstart) with each override "a.b=value"; JobError says what is wrong.

    `FILE.toml#KEY` is the table [KEY] of that file.
    """
    name, text, folder, table, notes, keys = draft(job, overrides)
    if out is not None:
        results = table.setdefault("results", {})
        if not isinstance(results, dict):
            raise JobError(f"{name}: results = {results!r}: should be a table [results], say results.path = ...")
        results["path"] = out
    return JobFile(text, JobSpec.parse(table, name), folder, notes, keys)


def draft(job: str | None, overrides: Sequence[str] = ()) -> Draft:
    """The job's table, which of a JSON file is the one it means. JobError for a file that cannot be read."""
    name, text, folder = _text(job)
    table, notes, keys = (_from_json if Path(name).suffix.lower() == ".json" else _from_toml)(name, text, folder)
    table = {"name": plain_name(Path(name).stem) or "run", **table}
    for override in overrides:
        _apply(table, override)
    return Draft(name, text, folder, table, notes, _places(keys, name, overrides))


def tell(job: str | None, notes: Sequence[str]) -> None:
    """Say on stderr, in one line, what the user should know."""
    if notes:
        print(f"note: {job}: {'; '.join(notes)}", file=sys.stderr, flush=True)


def packaged(name: str, overrides: Sequence[str] = ()) -> JobFile:
    """A job that ships with hpcfl."""
    text = _packaged_text(name)
    table = tomllib.loads(text)
    for override in overrides:
        _apply(table, override)
    return JobFile(text, JobSpec.parse(table, f"{name}.toml"), None)


def _from_toml(name: str, text: str, folder: Path | None) -> Conversion:
    try:
        table: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as failure:  # numbers and nestings beyond Python's limits, too
        raise JobError(f"{name}: not valid TOML: {failure}") from None
    path, key = _split(name)
    if key and not isinstance(table := table.get(key), dict):
        raise JobError(f"{path}: has no table [{key}]")
    return Conversion(table, (), {})


def _from_json(name: str, text: str, folder: Path | None) -> Conversion:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                both = f"{reprlib.repr(table[key])} and {reprlib.repr(value)}"
                raise JobError(f"{name}: {key}: given twice in one object, {both}; leave one of them out")
            table[key] = value
        return table

    try:
        table = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=once)
    except json.JSONDecodeError as failure:
        place = f"line {failure.lineno}, column {failure.colno}"
        raise JobError(f"{name}: not valid JSON: {failure.msg} ({place})") from None
    except (ValueError, RecursionError) as failure:  # numbers and nestings beyond Python's limits
        raise JobError(f"{name}: not valid JSON: {failure}") from None
    try:
        return convert(table, folder)
    except JobError as failure:
        raise JobError(f"{name}: {failure}") from None


def _packaged_text(name: str) -> str:
    return (files("hpcfl") / "jobs" / f"{name}.toml").read_text("utf-8")


def _text(job: str | None) -> tuple[str, str, Path | None]:
    if job is None or (job == QUICKSTART and not Path(QUICKSTART).is_file()):
        return f"{QUICKSTART}.toml", _packaged_text(QUICKSTART), None
    file, key = _split(job)
    path = Path(file)
    try:
        name = f"{path}#{key}" if key else str(path)
        return name, path.read_text("utf-8"), path.resolve().parent
    except FileNotFoundError:
        raise JobError(f"job file {job} does not exist") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise JobError(f"job file {job} cannot be read: {failure}") from None


def _split(job: str) -> tuple[str, str]:
    """The file, and the key of the table in it that is the job; no key where the file is the job."""
    file, mark, key = job.rpartition("#")
    return (file, key) if mark and file.endswith(".toml") and not Path(job).exists() else (job, "")


def _places(keys: Mapping[str, str], name: str, overrides: Sequence[str]) -> dict[str, str]:
    """Where the file says each key of the job; nowhere what an override changes."""
    changed = [override.partition("=")[0].strip() for override in overrides]
    above = tuple(f"{key}." for key in changed)
    kept = {key: f"{theirs} in {name}" for key, theirs in keys.items() if not key.startswith(above)}
    return {**kept, **dict.fromkeys(changed, "")}


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    words = key.strip().split(".")
    if not equals or not all(words):
        raise JobError(f"--set {override}: should be KEY=VALUE, say --set client.lr=0.05")
    for depth, word in enumerate(words[:-1]):
        inner = table.setdefault(word, {})
        if isinstance(inner, str):  # a component by its name alone: strategy = "fedprox", --set strategy.mu=0.1
            inner = table[word] = {"name": inner}
        elif inner is True:  # a section switched on: tracking.wandb=true, tracking.wandb.mode=offline
            inner = table[word] = {}
        if not isinstance(inner, dict):
            raise JobError(f"--set {override}: {'.'.join(words[: depth + 1])} is {inner!r}, not a table")
        table = inner
    table[words[-1]] = _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value; anything else is a string, so that quotes are not needed on the command line."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
