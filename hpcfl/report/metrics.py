"""What a strategy with Flower's methods, and its clients, told of a run: each value as it was last."""

import numpy as np
from rich.table import Table
from rich.text import Text

from hpcfl.results import Reader

__all__ = ["metrics"]

ROWS = 20


def metrics(run: Reader) -> Table:
    """A row per value and who told it, the server's first: at the last step that has it, clients' with their range."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("told by", "what", "round", "value"):
        table.add_column(Text(title), justify="right" if title in ("round", "value") else "left")
    found = dict(run.metrics)
    if not found or not len(found["step"]):
        return table
    told: dict[tuple[bool, str, str], list[int]] = {}
    for row, key in enumerate(zip(found["client"] >= 0, found["method"], found["name"])):
        told.setdefault((bool(key[0]), str(key[1]), str(key[2])), []).append(row)
    ordered = sorted(told, key=lambda key: key[0])
    for by_client, method, name in ordered[:ROWS]:
        rows = np.array(told[by_client, method, name])
        last = rows[found["step"][rows] == found["step"][rows].max()]
        values, text = found["value"][last], str(found["text"][last[-1]])
        shown = text or f"{np.nanmean(values):.6g}"
        if by_client and not text:
            shown += f" ({values.min():.6g} to {values.max():.6g}, {len(values):,} clients)"
        table.add_row(Text(method), Text(name), f"{found['step'][last[-1]]}", Text(shown))
    if len(ordered) > ROWS:
        table.add_row("", f"and {len(ordered) - ROWS} others", "", "")
    return table
