"""What `hpcfl bench` prints for people: a table for each thing measured."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show"]

Found = dict[str, Any]


def show(found: Found) -> None:
    """Everything that was measured, with where it was."""
    console = Console(highlight=False, soft_wrap=True, **({} if sys.stdout.isatty() else {"width": 120}))
    ranks = f"{found['ranks']} rank{'s' * (found['ranks'] > 1)}"
    console.print(f"{ranks}, {found['device']}, {found['backend']}, {found['cores']} cores for each")
    for workload in found["workloads"]:
        show_workload(console, workload)
    for job in found["jobs"]:
        show_job(console, job)
    for profile in found.get("profiles", ()):
        show_profile(console, profile)
    if found["figures"]:
        console.print()
        table = columns("", "hpcfl, ms", "floor, ms", "ratio", "floor")
        for row in found["figures"]:
            table.add_row(row["measured"], ms(row["hpcfl_s"]), ms(row["floor_s"]), f"{row['ratio']:.2f}", row["floor"])
        console.print(table)
    if "startup" in found:
        console.print("\nFrom the command line to the first round")
        table = columns("", "hpcfl, s", "floor, s", "over it, s", "at most", "floor")
        for row in found["startup"]:
            seconds = (f"{row[name]:.2f}" for name in ("hpcfl_s", "floor_s", "over_s", "limit_s"))
            table.add_row(row["launch"], *seconds, row["floor"])
        console.print(table)


def show_workload(console: Console, found: Found) -> None:
    """Its floors with the ratios to them, whether all made the same model, memory, and what peers reach."""
    console.print(f"\n{found['workload'].upper()}, {found['title']}; medians of {found['rounds']} rounds")
    table = columns("", "ms a round", "hpcfl to it", "at most", "final loss")
    table.add_row("hpcfl", ms(found["hpcfl_s"]), "", "", f"{found['loss']:.6f}")
    for row in found["floors"]:
        limit = "" if row["limit"] is None else f"{row['limit']:.2f}"
        loss = "" if row["loss"] is None else f"{row['loss']:.6f}"
        table.add_row(row["floor"], ms(row["floor_s"]), f"{row['ratio']:.2f}", limit, loss)
    console.print(table)
    said = "the same steps" if found["agree"] else "NOT the same steps"
    apart = found["losses_apart"]
    console.print(
        f"{said}: losses differ by {apart['warm-up']:.0e} after the warm-up, by {apart['end']:.0e} at the end"
    )
    peers = ", ".join(f"{name} {ratio:g}" for name, ratio in found["peers"].items())
    published = f"; published: {peers}" if peers else ""
    console.print(f"to the best bare loop in one process: hpcfl {found['to_best_loop']:.2f}{published}")
    whole = found["whole"]
    console.print(
        f"{found['data']}, {found['execution']}: {whole['rounds']} rounds take {whole['hpcfl_s']:.0f} s, with the loop "
        f"{whole['loop_s']:.0f} s"
    )
    if found["busy"] is not None:
        loops = ", ".join(f"{row['floor']} {row['busy']:.0%}" for row in found["floors"] if row["busy"] is not None)
        console.print(f"GPU busy: hpcfl {found['busy']:.0%}, {loops}")
    limit = found["memory_limit_bytes"]
    limit = f" (at most {limit / 1e9:.1f} with a server and two client ranks)" if limit else ""
    console.print(f"peak memory of all ranks: {found['memory_bytes'] / 1e9:.2f} GB{limit}")


def show_job(console: Console, found: Found) -> None:
    """A job under each setting, and the advice."""
    console.print(f"\n{found['job']}")
    table = columns("execution", "ms a round")
    for row in found["executions"]:
        table.add_row(row["execution"], ms(row["hpcfl_s"]) if row["hpcfl_s"] else f"refused: {row['refused']}")
    console.print(table)
    console.print(found["recommendation"])


def show_profile(console: Console, found: Found) -> None:
    """A round by part: milliseconds and shares of rank 0 and of the busiest client rank."""
    console.print(f"\nWhere a round of {found['name']} goes")
    ranks = found["ranks"]
    table = columns("", *(word for rank in ranks for word in (f"rank {rank['rank']}, ms", "%")))
    wholes = [sum(rank["seconds"].values()) for rank in ranks]
    for part in ranks[0]["seconds"]:
        spent = [rank["seconds"][part] for rank in ranks]
        if any(seconds > 5e-6 for seconds in spent):
            cells = ((ms(seconds), f"{100 * seconds / whole:.0f}") for seconds, whole in zip(spent, wholes))
            table.add_row(part, *(cell for pair in cells for cell in pair))
    table.add_row("together", *(cell for whole in wholes for cell in (ms(whole), "100")))
    console.print(table)


def columns(first: str, *others: str) -> Table:
    """A table with numbers to the right of their names."""
    table = Table(box=None)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="left" if name == "floor" else "right")
    return table


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"
