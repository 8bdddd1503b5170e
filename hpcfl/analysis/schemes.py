"""Alone, together, or all data in one place: which of these a run is, and what it reached in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from hpcfl.analysis.quantities import evaluated, last_own
from hpcfl.analysis.series import Series
from hpcfl.analysis.tables import Run, table
from hpcfl.errors import ResultError
from hpcfl.federation import POOLED

__all__ = ["KINDS", "in_order", "kind", "named", "reached"]

KINDS = {"alone": "one owner alone", "federated": "federated", "pooled": "all data in one place"}
"""What a run is -> what the legend calls it; the order of the rows."""


def kind(run: Run) -> str:
    """pooled: one trainer has everybody's data; alone: only one of the clients ever trains; else federated."""
    strategy = run.job.get("strategy")
    names = str(strategy.get("name") if isinstance(strategy, dict) else strategy)
    if set(POOLED) & {name.strip() for name in names.split("+")}:
        return "pooled"
    return "alone" if len(_trained(run)) == 1 else "federated"


def reached(run: Run, own: bool = False) -> float:
    """The last accuracy on the test set; or on what the clients that train keep back, weighted by its size."""
    if not own:
        return float(evaluated(run, "accuracy")[1][-1])
    trained, clients = _trained(run), table(run, "clients")
    weights = clients["held_out"][trained] if "held_out" in clients else np.zeros(len(trained))
    if not weights.any():
        raise ResultError(f"{run.path} has no accuracies on own test parts: run the job with client.test_size, say 0.2")
    accuracies = last_own(run)[trained]
    asked = np.isfinite(accuracies)
    return float(np.average(accuracies[asked], weights=weights[asked]))


def in_order(rows: Iterable[Series]) -> list[Series]:
    """Alone, federated, pooled; the fewest owners first."""
    return sorted(rows, key=lambda one: _place(one.runs[0]))


def _place(run: Run) -> tuple[int, int, list[int]]:
    """What the rows are sorted by: kind, number of owners, and who trains."""
    return list(KINDS).index(kind(run)), len(table(run, "clients")["client"]), _trained(run).tolist()


def _trained(run: Run) -> np.ndarray:
    """The clients that train. ResultError where the run has no such client."""
    found = np.unique(table(run, "events", "client")["client"])
    if len(found) and not 0 <= found[0] <= found[-1] < len(table(run, "clients")["client"]):
        raise ResultError(f"{run.path} has updates of clients that it does not have")
    return found


def named(rows: Sequence[Series]) -> list[str]:
    """A row's name: who trains; where that does not tell them apart, the series' label."""
    names = [_name(one.runs[0]) for one in rows]
    counted = Counter(names)
    return [name if counted[name] == 1 else f"{name}, {one.label}" for name, one in zip(names, rows)]


def _name(run: Run) -> str:
    owners = len(table(run, "clients")["client"])
    if kind(run) == "alone":
        return f"owner {_trained(run)[0] + 1} of {owners}"
    return "all data" if kind(run) == "pooled" else f"{owners} owners"
