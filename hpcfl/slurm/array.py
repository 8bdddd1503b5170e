"""The indices of an array job, in Slurm's notation."""

from __future__ import annotations

import re

from hpcfl.errors import JobError

__all__ = ["indices"]

PART = re.compile(r"(\d+)(?:-(\d+)(?::([1-9]\d*))?)?")


def indices(array: str) -> list[int]:
    """`0-9:3,20%2` gives [0, 3, 6, 9, 20]; JobError for what is none."""
    found: dict[int, None] = {}
    listed, percent, limit = array.partition("%")
    for part in listed.split(","):
        match = PART.fullmatch(part)
        if not match or (percent and not limit.isdigit()):
            raise JobError(f"--array {array}: should be like 0-9, 0-9:3,20 or 0-9%2 (two at a time)")
        first, last, step = (int(number) if number else None for number in match.groups())
        found |= dict.fromkeys(range(first, (first if last is None else last) + 1, step or 1))
    if not found:
        raise JobError(f"--array {array}: has no indices; the first of a range should not be larger than the last")
    return list(found)
