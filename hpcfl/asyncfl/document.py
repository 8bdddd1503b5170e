"""A job's table as TOML, laid out as people write it: sections in the usual order, components on one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import tomli_w

__all__ = ["document", "literal"]

SECTIONS = ("data", "partition", "model", "client", "client.device", "strategy", "schedule", "server", "results",
            "checkpoint", "communication", "device", "tracking", "tracking.wandb")  # fmt: skip
"""Tables with a header of their own, in their order; all others are written in braces."""
COMMENTS = {"client.device.seconds_per_step": "Async-FL's delays are real seconds, its steps take milliseconds"}
WIDTH = 116


def document(job: Mapping[str, Any], remarks: Sequence[str] = ()) -> str:
    """The TOML, with the remarks as comments at the top."""
    comments = [f"# {line}" for remark in remarks for line in wrap(remark, WIDTH, break_long_words=False)]
    headers = [key for key in SECTIONS if isinstance(_at(job, key), Mapping)]
    blocks = ["\n".join([*comments, *_lines(job, "", headers)])]
    for key in headers:
        table = _at(job, key)
        lines = _lines(table, key, headers)
        if lines or not table:  # an empty one says something too, say that Weights & Biases is wanted
            blocks.append("\n".join([f"[{key}]", *lines]))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _lines(table: Mapping[str, Any], at: str, headers: Sequence[str]) -> list[str]:
    lines = []
    for name, value in table.items():
        key = f"{at}.{name}".lstrip(".")
        if key not in headers:
            note = f"  # {COMMENTS[key]}" if key in COMMENTS else ""
            lines.append(f"{_key(name)} = {literal(value)}{note}")
    return lines


def literal(value: Any) -> str:
    """The value on one line, where tomli-w would take a line for each element."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {literal(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _key(name: str) -> str:
    """Quoted where it must be."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def _at(job: Any, key: str) -> Any:
    for word in key.split("."):
        job = job.get(word) if isinstance(job, Mapping) else None
    return job
