"""Ready-made comparisons: the weather study's schemes, an owner alone, owners together, all data in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hpcfl.analysis.schemes import KINDS, in_order, kind, named, reached
from hpcfl.analysis.series import series
from hpcfl.dashboard.catalogue import Run
from hpcfl.errors import ResultError
from hpcfl.results import Reader

__all__ = ["Scheme", "Study", "outcome", "studies"]

PHOTOGRAPHS = "folder weather"
CLASSES = ["cloudy", "sunny"]


class Study(NamedTuple):
    """Runs that belong together."""

    slug: str
    """What its address has: the model."""
    name: str
    runs: list[Run]


class Scheme(NamedTuple):
    """What one scheme of a study reached: mean and standard deviation over its seeds, NaN where not known."""

    kind: str
    name: str
    seeds: int
    test: tuple[float, float]
    own: tuple[float, float]
    """On the owners' own test parts."""


def studies(runs: Sequence[Run]) -> list[Study]:
    """The weather study with each model that at least two schemes of it have been run with."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        data = run.summary.job.get("data")
        params = data.get("params") if isinstance(data, Mapping) else None
        classes = params.get("classes") if isinstance(params, Mapping) else None
        if run.summary.dataset == PHOTOGRAPHS and classes == CLASSES:
            found.setdefault(run.summary.model.rpartition(".")[2], []).append(run)
    return [
        Study(model, f"Weather study, {model}", sorted(mine, key=lambda run: run.name))
        for model, mine in sorted(found.items())
        if len({_scheme(run) for run in mine}) > 1
    ]


def outcome(runs: Sequence[Reader]) -> list[Scheme]:
    """A row per scheme: alone, together, all data in one place."""
    rows = in_order(series(runs))
    return [
        Scheme(
            KINDS[kind(one.runs[0])], name, len(one.runs), _spread(one.runs, reached),
            _spread(one.runs, lambda run: reached(run, own=True)),
        )
        for one, name in zip(rows, named(rows))
    ]  # fmt: skip


def _spread(runs: Sequence[Reader], take: Callable[[Reader], float]) -> tuple[float, float]:
    try:
        values = [take(run) for run in runs]
    except (ResultError, KeyError):  # not evaluated so
        return np.nan, np.nan
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def _scheme(run: Run) -> str:
    """What of the job makes a scheme; the seed does not."""
    return repr([run.summary.job.get(key) for key in ("strategy", "schedule", "partition")])
