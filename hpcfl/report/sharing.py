"""Clients of different architectures: how each kind does, and which tensors they average with whom."""

import numpy as np
from rich.table import Table
from rich.text import Text

from hpcfl.results import Reader

__all__ = ["sharing", "versions"]


def versions(run: Reader) -> Table:
    """A row per architecture, with the mean over its clients' own models at the last evaluation; none where all have
    the same."""
    table = titled("architecture", "clients", "numbers", "averaged", "on held-out samples", "on the test set")
    if "architecture" not in run.sharing:
        return table
    members, numbers, averaged = (run.sharing[name] for name in ("architectures", "numbers", "averaged"))
    kinds = ("accuracy", "test_accuracy")
    last = {kind: run.own[kind][-1] for kind in kinds if len(run.own.get(kind, ()))}
    for number, name in enumerate(run.sharing["architecture"]):
        mine = run.clients["architecture"] == name
        has = members[:, number] > 0
        accuracies = [last[kind][mine] if kind in last else np.full(1, np.nan) for kind in kinds]
        table.add_row(
            Text(name), f"{mine.sum():,}", f"{numbers[has].sum():,}", f"{numbers[has & (averaged > 0)].sum():,}",
            *("-" if np.isnan(values).all() else f"{np.nanmean(values):.4f}" for values in accuracies),
        )  # fmt: skip
    return table


def sharing(run: Reader) -> Table:
    """A row per run of tensors that the same architectures average, or keep at home; none where all are alike."""
    table = titled("tensors", "numbers", "averaged by the clients of")
    if "architecture" not in run.sharing:
        return table
    names, clients = run.sharing["architecture"], run.sharing["clients"]
    rows = [run.sharing[name] for name in ("tensor", "numbers", "averaged", "architectures")]
    begin, same = 0, [(bool(averaged), *members) for averaged, members in zip(rows[2], rows[3].tolist())]
    for end in range(1, len(same) + 1):
        if end < len(same) and same[end] == same[begin]:
            continue
        who = np.flatnonzero(rows[3][begin])
        said = f"{', '.join(names[who])} ({clients[who].sum():,} clients)"
        table.add_row(
            Text(stretch(rows[0][begin:end])), f"{rows[1][begin:end].sum():,}",
            Text(said if rows[2][begin] else f"nobody: at home with {said}"),
        )  # fmt: skip
        begin = end
    return table


def stretch(tensors: np.ndarray) -> str:
    """A run of tensors by its ends: "a.weight ... b.bias (4)"."""
    return tensors[0] if len(tensors) == 1 else f"{tensors[0]} ... {tensors[-1]} ({len(tensors)})"


def titled(*titles: str) -> Table:
    """An empty table with the numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(titles):
        words = number == 0 or title.startswith("averaged by")
        table.add_column(Text(title), justify="left" if words else "right", overflow="fold")
    return table
