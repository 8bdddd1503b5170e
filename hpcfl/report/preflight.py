"""What a run will take, in a terminal: the rows that `hpcfl plan --ranks` adds."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpcfl.preflight.costs import Costs
from hpcfl.preflight.estimate import Estimate, limit
from hpcfl.progress import clock
from hpcfl.report.show import as_bytes, fact, fact_table

__all__ = ["show_estimate"]


def show_estimate(found: Estimate, costs: Costs, console: Console, clock_kind: str = "virtual") -> None:
    """Print the estimate and what it stands on. `clock_kind`: the job's clock."""
    table = fact_table()
    if costs.model_bytes:
        sizes(found, table)
    else:
        fact(table, "sizes", "give --model-bytes, or --calibrate here")
    fact(table, "longest way", f"{found.path:,.1f} local steps one after the other, a step")
    if found.round_s is not None:
        beside = "beside it" if found.ranks > 1 else "after it"
        parts = f"training {seconds(found.training_s)}, messages {seconds(found.communicating_s)}"
        fact(
            table,
            "a step takes",
            f"{seconds(found.round_s)}: {parts}; evaluating {seconds(found.evaluating_s)} {beside}",
        )
        fact(table, "the run takes", clock(found.run_s))
        fact(table, "ask for", f"--time {limit(found.run_s)}", style="bold")
    else:
        fact(table, "time", "give --step-time SECONDS, or --calibrate here")
    first = found.ways[min(found.ways)]
    told = ", ".join(f"{ranks}: {first / max(path, 1e-9):.2f} x" for ranks, path in found.ways.items())
    fact(table, "best ranks", f"{found.best}; more make training hardly shorter", style="bold")
    fact(table, "speed by ranks", told)
    fact(table, "costs", costs.origin)
    if clock_kind == "wall":
        fact(table, "note", "on the wall clock the delays of simulated clients are waited for too: ask for more time")
    console.print(Text(f"\nestimate for {found.ranks} rank{'s' * (found.ranks > 1)}", style="bold"))
    console.print(table)


def sizes(found: Estimate, table: Table) -> None:
    """Memory and traffic."""
    server, client, gpu = map(as_bytes, (found.server_memory, found.client_memory, found.device_memory))
    on_gpu = f"; {gpu} of each GPU" if found.device_memory else ""
    memory = f"rank 0 {server}, each other {client}" if found.ranks > 1 else as_bytes(alone(found))
    fact(table, "memory", f"{memory}{on_gpu}")
    if found.ranks > 1:
        fact(table, "traffic", f"{as_bytes(found.bytes_down)} to the ranks and {as_bytes(found.bytes_up)} back, a step")
    down, up = as_bytes(found.client_bytes_down), as_bytes(found.client_bytes_up)
    fact(table, "clients would", f"receive {down} and send {up}, a step")


def alone(found: Estimate) -> float:
    """Memory of a single rank, which has both parts but one Python and one PyTorch."""
    return max(found.server_memory, found.client_memory)


def seconds(value: float) -> str:
    """Short: 0.0123 -> 12 ms."""
    if value < 0.0995:
        return f"{1000 * value:.2g} ms"
    return f"{value:.3g} s" if value < 100 else clock(value)
