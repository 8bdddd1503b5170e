"""Are two runs the same bits, and if not, at which round, client and tensor did they part?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from hpcfl.analysis.columns import Columns, differing, table, words
from hpcfl.results import Reader

__all__ = ["Parting", "compare", "told"]

MACHINE = ("wall", "training", "communicating", "aggregating", "evaluating", "bytes_up", "bytes_down", "rank")
"""Columns that depend on the ranks and on how fast they were."""
CLOCK = ("time", "start", "finish")
"""Columns that do so too where the job's clock is the real one."""
ORDER = ("start", "version", "client", "step")
"""Sorts updates, which a step may have in any order; the last one counts first."""


class Parting(NamedTuple):
    """Where two runs part."""

    step: int | None
    """The first step with a difference, 0 for what is there before the first one; None if there is none."""
    lines: tuple[str, ...]
    """What is different there, in the order in which it comes about."""


def compare(a: Reader, b: Reader) -> Parting:
    """Where the runs part, in whatever a job determines: partition, clients, updates, rounds, own and kept models.

    NaN is the same as NaN; other numbers are the same if all of their bits are. Columns that only one file has are
    left out, and so is what depends on the machine.
    """
    dealt = tuple(_dealt(a, b))
    if dealt:
        return Parting(0, dealt)
    rounds = [table(run, "rounds") for run in (a, b)]
    last = min(int(each["step"][-1]) for each in rounds)
    left_out = MACHINE + (CLOCK if "wall" in (a.job.get("clock"), b.job.get("clock")) else ())
    found: list[Parting] = []
    for name, tell in (("events", _updates), ("own", _own)):
        tables = [table(run, name) for run in (a, b)]
        # a repaired file may lack the later ones; where a run made none, its rounds differ too
        end = min(last, *(each["step"].max(initial=0) for each in tables))
        both = [_sorted(each, end, left_out) for each in tables]
        if (at := _first(*both)) is not None:
            found.append(Parting(at, tuple(tell(*(_of(each, at) for each in both)))))
    both = [_sorted(each, last, left_out) for each in rounds]
    if (at := _first(*both)) is not None:
        found.append(Parting(at, tuple(_figures("the round's", *(_of(each, at) for each in both)))))
    if model := _models(a, b):
        found.append(model)
    if not found:
        return Parting(None, ())
    step = min(each.step for each in found)
    lines = [line for each in found for line in each.lines if each.step == step]
    if model and model.step > step:  # models are kept seldom: the first pair that differs came later
        lines += model.lines
    return Parting(step, tuple(lines))


def told(a: Reader, b: Reader) -> tuple[bool, list[str]]:
    """Whether the runs are the same bits, and that in words."""
    parting, names = compare(a, b), f"{a.path} and {b.path}"
    jobs = [f"  the jobs: {key} {_both(*values)}" for key, values in differing([a.job, b.job]).items()]
    if parting.step is not None:
        where = f"at round {parting.step}" if parting.step else "before the first round"
        return False, [f"{names} part {where}:", *(f"  {line}" for line in parting.lines), *jobs]
    lengths = {
        "round": [len(run.rounds["step"]) for run in (a, b)],
        "update": [len(run.events["step"]) for run in (a, b)],
        "own evaluation": [len(run.own.get("step", ())) for run in (a, b)],
    }
    same = all(one == other for one, other in lengths.values())
    counts = [_count(*each, what) for what, each in lengths.items() if any(each)]
    kept = len(set(a.models) & set(b.models))
    counts.append(f"{kept} model{'s' * (kept != 1)}" if kept else "no model that both have kept")
    return same, [f"{names} are the same bits{'' if same else ' as far as both go'}: {', '.join(counts)}", *jobs]


def _dealt(a: Reader, b: Reader) -> Iterator[str]:
    owners = a.partition, b.partition
    if all(owner is not None for owner in owners) and not _same(*owners).all():
        at = np.flatnonzero(~_same(*owners))
        yield f"the partition: {len(at):,} training samples; sample {at[0]} {_both(*(each[at[0]] for each in owners))}"
    counts = [len(run.clients["client"]) for run in (a, b)]
    if counts[0] != counts[1]:
        yield f"clients: {_both(*counts)}"
        return
    yield from _facts("client {}'s {}", *(table(run, "clients") for run in (a, b)))
    yield from islice(_facts("client {}'s samples of label {}", *(table(run, "classes") for run in (a, b))), 1)


def _facts(what: str, one: Columns, other: Columns) -> Iterator[str]:
    """Of each column the first client that is not the same in both."""
    for column in (key for key in one if key in other):
        if not (same := _same(one[column], other[column])).all():
            client = np.flatnonzero(~same)[0]
            yield f"{what.format(client, column)} {_both(*(_at(each[column], client) for each in (one, other)))}"


def _updates(one: Columns, other: Columns) -> Iterator[str]:
    """Of one step: which clients' updates differ, and how the first one's does."""
    clients = np.union1d(one["client"], other["client"])
    pairs = {client: [_where(each, each["client"] == client) for each in (one, other)] for client in clients.tolist()}
    wrong = {client: pair for client, pair in pairs.items() if not _equal(*pair)}
    yield f"{len(wrong)} of {len(clients)} clients: {_some(list(wrong))}"
    client, pair = next(iter(wrong.items()))
    counts = [len(each["client"]) for each in pair]
    if counts[0] != counts[1]:
        yield f"client {client}'s updates {_both(*counts)}"
    else:
        yield from _figures(f"client {client}'s", *pair)


def _own(one: Columns, other: Columns) -> Iterator[str]:
    """Of one evaluation of the clients' own models."""
    if len(one["client"]) != len(other["client"]):
        yield f"clients with an evaluated model of their own {_both(len(one['client']), len(other['client']))}"
        return
    wrong = np.flatnonzero(~_rows(one, other))
    yield f"own models of {len(wrong)} clients: {_some(one['client'][wrong].tolist())}"
    pair = [_where(each, slice(wrong[0], wrong[0] + 1)) for each in (one, other)]
    yield from _figures(f"client {one['client'][wrong[0]]}'s own", *pair)


def _figures(whose: str, one: Columns, other: Columns) -> Iterator[str]:
    for name in (key for key in one if key in other):
        if not (same := _same(one[name], other[name])).all():
            at = np.flatnonzero(~same)[0] if len(same) else 0
            yield f"{whose} {name} {_both(*(_at(words(each[name]), at) for each in (one, other)))}"


def _models(a: Reader, b: Reader) -> Parting | None:
    """The first kept model in which they differ."""
    ours, theirs = a.models, b.models
    for step in (step for step in ours if step in theirs):
        lines = []
        for name in (name for name in ours[step] if name in theirs[step]):
            place = f"of the {name} model after round {step}"
            lines += [f"{line} {place}" for line in _tensors(a.model(step, name), b.model(step, name))]
        if lines:
            return Parting(step, tuple(lines))
    return None


def _tensors(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Iterator[str]:
    for name in (*one, *(name for name in other if name not in one)):
        if name not in one or name not in other:
            yield f"tensor {name}, which only the {'second' if name not in one else 'first'} has,"
        elif one[name].shape != other[name].shape:
            yield f"tensor {name}: shape {_both(one[name].shape, other[name].shape)},"
        elif not (same := _same(one[name], other[name])).all():
            apart = np.abs(np.subtract(one[name], other[name], dtype=np.float64)).max()
            yield f"tensor {name}: {np.sum(~same):,} of {same.size:,} numbers, by at most {apart:.3g},"


def _first(one: Columns, other: Columns) -> int | None:
    """The first step with a row that only one of two sorted tables has."""
    count = min(len(one["step"]), len(other["step"]))
    heads = [_where(each, slice(count)) for each in (one, other)]
    wrong = np.flatnonzero(~_rows(*heads))
    if len(wrong):
        return int(min(each["step"][wrong[0]] for each in heads))
    rest = np.concatenate([each["step"][count:] for each in (one, other)])
    return int(rest[0]) if len(rest) else None


def _sorted(columns: Columns, last: int, left_out: tuple[str, ...]) -> Columns:
    """Rows up to step `last` by step, client and version, without columns that need not be the same."""
    keys = [columns[name] for name in ORDER if name in columns and name not in left_out]
    order = np.lexsort(keys)
    kept = order[columns["step"][order] <= last]
    return {name: values[kept] for name, values in columns.items() if name not in left_out}


def _of(columns: Columns, step: int) -> Columns:
    return _where(columns, columns["step"] == step)


def _where(columns: Columns, rows: np.ndarray | slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _rows(one: Columns, other: Columns) -> np.ndarray:
    """For each row of two tables of one length: whether all columns that both have are the same."""
    return np.logical_and.reduce([_same(one[name], other[name]) for name in one if name in other])


def _equal(one: Columns, other: Columns) -> bool:
    return len(one["step"]) == len(other["step"]) and bool(_rows(one, other).all())


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Elementwise: the same bits, or both NaN. Arrays of different length differ where one has no element."""
    if one.shape != other.shape:
        shared = min(len(one), len(other))
        rest = np.zeros(max(len(one), len(other)) - shared, bool)
        return np.concatenate([_same(one[:shared], other[:shared]), rest])
    if one.dtype.kind != "f" or one.dtype != other.dtype:
        return np.asarray(one == other)
    bits = f"i{one.dtype.itemsize}"
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    return (one.view(bits) == other.view(bits)) | (np.isnan(one) & np.isnan(other))


def _at(values: np.ndarray, place: int) -> object:
    value = values[place] if place < len(values) else "none"
    return value.item() if isinstance(value, np.generic) else value


def _both(one: object, other: object) -> str:
    return f"{one} and {other}"


def _count(one: int, other: int, what: str) -> str:
    return f"{one:,} {what}{'s' * (one != 1)}" if one == other else f"{one:,} and {other:,} {what}s"


def _some(numbers: list[int], most: int = 8) -> str:
    """The first few, and how many others."""
    rest = f" and {len(numbers) - most:,} others" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + rest
