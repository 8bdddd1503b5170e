"""Is it the same job? Keys that decide no number of a run may differ between its starts, and rounds may grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcfl.errors import JobError

__all__ = ["ABSENT", "flat", "is_free", "require_same"]

FREE = ("name", "results", "checkpoint", "tracking", "server.timeout_s",
        "server.on_rank_failure", "server.heartbeat_s", "server.joinable", "device.kind", "faults.kill",
        "data.root", "data.download", "data.cache")  # fmt: skip
"""Keys and sections that may differ."""
ABSENT = "(not said)"


def require_same(then: Mapping[str, Any], now: Mapping[str, Any], step: int, where: str) -> None:
    """JobError names the keys in which the job `now` differs from `then`, that of a run that has made `step` steps."""
    was, told = flat(then), flat(now)
    keys = [key for key in sorted(was.keys() | told.keys()) if was.get(key, ABSENT) != told.get(key, ABSENT)]
    wrong = [
        f"  {key}: it has {was.get(key, ABSENT)!r}, the job now {told.get(key, ABSENT)!r}"
        for key in keys
        if not is_free(key) and not (key == "rounds" and told[key] > was[key])
    ]
    if wrong:
        what = "\n".join([f"{where} is of another job:", *wrong])
        raise JobError(f"{what}\nresume the job that it is of (rounds may grow), or choose another --out")


def is_free(key: str) -> bool:
    """Whether the key decides no number, so that jobs which differ in it are the same."""
    return any(f"{key}.".startswith(f"{free}.") for free in FREE)


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys and their values."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) and value else {f"{above}{name}": value}
    return found
