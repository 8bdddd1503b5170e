"""A section of an Async-FL file: its values by name, checked; every message names the key as the file spells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hpcfl.asyncfl.kinds import OBJECT, PATH, Kind
from hpcfl.asyncfl.names import KEYS
from hpcfl.asyncfl.older import find
from hpcfl.errors import JobError
from hpcfl.schema import unknown_key

REQUIRED = object()


@dataclass
class File:
    """What the sections of a file share."""

    folder: Path | None
    """Where it lies: modules beside it can be named by dotted paths."""
    written: Mapping[str, Any]
    """All of it, as it is written."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """Keys that it spells as older versions did."""
    idle: list[str] = field(default_factory=list)
    """Keys that need no setting here."""
    remarks: list[str] = field(default_factory=list)
    """What else the user should know."""
    keys: dict[str, str] = field(default_factory=dict)
    """Keys of the job -> the keys that say it here, where the form of the file decides which they are."""


@dataclass(frozen=True)
class Section:
    """The values under one key of the file."""

    file: File
    key: str
    """Dotted, in today's spelling; empty for the whole file."""
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def name(self, name: str) -> str:
        """The dotted key of one of its values, as the file spells it."""
        key = join(self.key, name)
        head, tail = key, ""
        while head and head not in self.file.spelled:
            head, _, word = head.rpartition(".")
            tail = f".{word}{tail}"
        return self.file.spelled[head] + tail if head else key

    def told(self, name: str) -> str:
        """One of its values with its key, both as they are written."""
        return f"{self.name(name)} = {find(self.file.written, self.name(name))!r}"

    def get(self, name: str, kind: Kind, default: Any = REQUIRED) -> Any:
        """A value of this kind; JobError if it is another, or missing without a default."""
        noun, fits = kind
        if name not in self.values:
            if default is REQUIRED:
                raise JobError(f"{self.name(name)}: required, but missing; it should be {noun}")
            return default
        if not fits(self.values[name]):
            raise self.refuse(name, f"should be {noun}")
        return self.values[name]

    def section(self, name: str) -> Section:
        """A section inside; empty if it is missing."""
        return Section(self.file, join(self.key, name), self.get(name, OBJECT, {}))

    def params(self) -> dict[str, Any]:
        """A copy of the component's arguments."""
        return dict(self.get("params", OBJECT, {}))

    def refuse(self, name: str, why: str) -> JobError:
        """The error for one of its values."""
        return JobError(f"{self.told(name)}: {why}")

    def known(self, table: Mapping[str, Any], name: str = "path") -> str | None:
        """The class path, if the table has it: Async-FL takes both package.Class and package.Class.Class."""
        path = self.get(name, PATH)
        return next((found for found in (path, f"{path}.{path.rpartition('.')[2]}") if found in table), None)

    def chosen(self, table: Mapping[str, Any], name: str = "path") -> Any:
        """What the class path stands for; JobError for one that is not in the table."""
        path = self.known(table, name)
        if path is None:
            raise self.refuse(name, f"unknown; {_nearest(self.values[name], table)}")
        return table[path]

    def own(self, table: Mapping[str, str], name: str = "path") -> str:
        """What the class path stands for, or the dotted path itself if its module is there to be imported."""
        path = self.known(table, name)
        if path is not None:
            return table[path]
        top, dot, _ = self.values[name].partition(".")
        if not dot or not _found(top, self.file.folder):
            why = f"there is no module {top!r} here or beside the file" if dot else "no class path"
            hint = (
                f"{_nearest(self.values[name], table)}, or the dotted path of your own"
                if table
                else "name one of yours"
            )
            raise self.refuse(name, f"{why}; {hint}")
        return self.values[name]

    def only(self, *valid: str) -> None:
        """JobError for a key that is none of these."""
        for name in self.values:
            if name not in valid:
                raise JobError(
                    unknown_key(self.name(name), valid) if valid else f"{self.name(name)}: takes no such key"
                )

    def leave(self, *names: str) -> None:
        """Say that those of the names that the file has need no setting here."""
        self.file.idle.extend(self.name(name) for name in names if name in self.values)

    def remark(self, sentence: str) -> None:
        """Say this to the user."""
        self.file.remarks.append(sentence)


def join(key: str, name: str) -> str:
    """The dotted key of what is called `name` under `key`."""
    return f"{key}.{name}" if key else name


def check_keys(section: Section) -> None:
    """JobError for the first key that no Async-FL file has, with the nearest that one may have."""
    section.only(*KEYS[section.key])
    for name, value in section.values.items():
        if join(section.key, name) in KEYS and isinstance(value, dict):
            check_keys(section.section(name))


def check_number(section: Section, name: str, number: int, things: str, clients: int) -> None:
    """JobError unless there is one for each client."""
    if number != clients:
        raise JobError(f"{section.name(name)}: has {number} {things}, but global.client_num = {clients}")


def check_sum(section: Section, name: str, counts: list[int], clients: int) -> None:
    """JobError unless these numbers of clients are all of them."""
    if sum(counts) != clients:
        raise section.refuse(name, f"adds up to {sum(counts)} clients, but global.client_num = {clients}")


def component(name: str, params: Mapping[str, Any], taken: tuple[str, ...] = ()) -> dict[str, Any]:
    """A component's table; params go into a table of their own where one is called as a key beside them."""
    if params.keys() & {"name", "params", *taken}:
        return {"name": name, "params": dict(params)}
    return {"name": name, **params}


def short(table: dict[str, Any]) -> Any:
    """The component by its name alone, if that is all."""
    return table["name"] if len(table) == 1 else table


def _nearest(path: str, table: Mapping[str, Any]) -> str:
    near = get_close_matches(path, table, n=2, cutoff=0.75)
    return f"nearest: {', '.join(near)}" if near else f"valid: {', '.join(table)}"


def _found(top: str, folder: Path | None) -> bool:
    """Whether a module of this name can be imported, here or from the folder; it is not."""
    if folder and ((folder / f"{top}.py").is_file() or (folder / top).is_dir()):
        return True
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False
