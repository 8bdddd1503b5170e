"""A schedule in a terminal: how long it takes, how stale its updates are, and which client is busy when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from hpcfl.core import Job, Step, World
from hpcfl.report.show import component, fact, fact_table

__all__ = ["show_plan"]

CLIENTS, COLUMNS, BARS, LONGEST = 20, 66, 16, 46


@dataclass(frozen=True)
class Marks:
    """How the timeline and the bars are drawn."""

    busy: str
    partly: str
    lost: str
    idle: str
    step: str
    bar: str


BLOCKS = Marks("\u2588", "\u2592", "x", "\u00b7", "|", "\u2588")
ASCII = Marks("#", "+", "x", ".", "|", "#")


def show_plan(job: Any, world: World, steps: Sequence[Step], console: Console, note: str = "") -> None:
    """Print the plan of a job (a JobSpec): its steps on the virtual clock, which nobody has trained for."""
    marks = BLOCKS if (console.encoding or "").lower().startswith("utf") else ASCII
    console.print(facts(job, world, steps, note))
    sections = {
        "staleness of the updates": histogram(steps, marks),
        "steps per group": groups(world, steps, marks),
        f"timeline of the first of {world.clients:,} clients that train": timeline(steps, marks),
    }
    for title, lines in sections.items():
        if lines:
            console.print(Text(f"\n{title}", style="bold"))
            for line in lines:
                console.print(Text(line), no_wrap=True, crop=True)


def facts(job: Any, world: World, steps: Sequence[Step], note: str) -> Any:
    """What is planned, in numbers."""
    done = [(step, update) for step in steps for update in step.done]
    lost = Counter(status for step in steps for _, status in step.lost)
    duration = steps[-1].time if steps else 0.0
    examples = world.counts.sum(axis=1)
    table = fact_table()
    fact(table, "job", job.name, style="bold")
    fact(table, "schedule", component(job.schedule.model_dump()))
    slices = f", in {world.slices} slices" if world.slices > 1 else ""
    fact(table, "clients", f"{world.clients:,}, {examples.min():,} to {examples.max():,} examples each{slices}")
    fact(table, "server steps", f"{sum(bool(step.done) for step in steps):,}")
    fact(table, "virtual time", f"{duration:,.1f} s")
    fact(table, "updates", f"{len(done):,} of {len({update.client for _, update in done}):,} clients")
    for status, count in sorted(lost.items()):
        fact(table, status, f"{count:,} jobs")
    if done:
        staleness = [step.staleness(update) for step, update in done]
        fact(table, "staleness", f"{np.mean(staleness):.2f} on average, at most {max(staleness)}")
    if duration:
        busy = sum(end - start for _, start, end, _ in _spans(steps))
        fact(table, "training", f"{busy / duration:,.1f} clients at a time on average")
    fact(table, "note", note)
    return table


def histogram(steps: Iterable[Step], marks: Marks) -> list[str]:
    """A bar per staleness, or per range of them where there are many."""
    counts = Counter(step.staleness(job) for step in steps for job in step.done)
    if not counts:
        return []
    width = max(counts) // BARS + 1
    bins = Counter()
    for staleness, count in counts.items():
        bins[staleness // width] += count
    rows = {}
    for place in range(max(bins) + 1):
        low = place * width
        rows[f"{low}" if width == 1 else f"{low}-{low + width - 1}"] = bins[place]
    return _bars(rows, marks)


def groups(world: World, steps: Iterable[Step], marks: Marks) -> list[str]:
    """A bar per group, if there are several."""
    if len(world.groups) < 2:
        return []
    counts = Counter(step.group for step in steps if step.done)
    return _bars(
        {f"{group} ({len(members)} clients)": counts[group] for group, members in enumerate(world.groups)}, marks
    )


def timeline(steps: Sequence[Step], marks: Marks) -> list[str]:
    """A line per client, a column per stretch of time: whether the client is busy, and whether in vain."""
    duration = steps[-1].time if steps else 0.0
    if not duration:
        return []
    spans = list(_spans(steps))
    shown = sorted({client for client, *_ in spans})[:CLIENTS]
    column = duration / COLUMNS
    busy, vain = (defaultdict(lambda: np.zeros(COLUMNS)) for _ in range(2))
    edges = np.arange(COLUMNS + 1) * column
    for client, start, end, lost in spans:
        if client <= shown[-1]:
            overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
            (vain if lost else busy)[client] += np.maximum(overlap, 0) / column
    ticks = {min(int(step.time / column), COLUMNS - 1) for step in steps if step.done}
    lines = [f"{'steps':>10}  " + "".join(marks.step if place in ticks else " " for place in range(COLUMNS))]
    for client in shown:
        cells = (_cell(*share, marks) for share in zip(busy[client], vain[client]))
        lines.append(f"{f'client {client}':>10}  {''.join(cells)}")
    lines.append(" " * 12 + f"0{f'{duration:,.1f} s':>{COLUMNS - 1}}")
    legend = [(marks.busy, "busy"), (marks.partly, "partly"), (marks.lost, "in vain"), (marks.idle, "idle")]
    return [*lines, " " * 12 + "   ".join(f"{mark} {word}" for mark, word in legend)]


def _cell(busy: float, vain: float, marks: Marks) -> str:
    """One column of a client's line."""
    if vain > max(busy, 0.05):
        return marks.lost
    if busy < 0.05:
        return marks.idle
    return marks.busy if busy >= 0.75 else marks.partly


def _spans(steps: Iterable[Step]) -> Iterator[tuple[int, float, float, bool]]:
    """(client, start, end, lost) of every job that a step ends."""
    for step in steps:
        ended: list[tuple[Job, bool]] = [(job, False) for job in step.done] + [(job, True) for job, _ in step.lost]
        for job, lost in ended:
            yield job.client, job.start, min(job.finish, step.time), lost


def _bars(rows: dict[str, int], marks: Marks) -> list[str]:
    """A line per row: its name, a bar in proportion, the count."""
    most, whole = max(rows.values()), sum(rows.values())
    widest = max(map(len, rows))
    lines = []
    for name, count in rows.items():
        bar = marks.bar * max(round(LONGEST * count / most), 1 if count else 0)
        lines.append(f"{name:>{widest}}  {bar}{' ' if bar else ''}{count:,} ({count / whole:.0%})")
    return lines
