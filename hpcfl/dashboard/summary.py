"""What a list of runs tells of one: read from its file in a few milliseconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import h5py
import numpy as np

from hpcfl.dashboard.words import writable
from hpcfl.errors import ResultError
from hpcfl.report.show import component
from hpcfl.results import open_results
from hpcfl.results.format import FORMAT
from hpcfl.results.opening import plain, values

__all__ = ["Summary", "of_job", "starting", "summarise"]

NAN = math.nan
MOST = 2**63
"""Counts that pages reckon with are smaller."""
STATUSES = ("finished", "interrupted", "failed", "running")
SECTIONS = ("data", "partition", "model", "strategy")


@dataclass(frozen=True)
class Summary:
    """A run in a line; what is not known is empty, 0, None or NaN."""

    status: str = ""
    """As the file says it."""
    job: Mapping[str, Any] = field(default_factory=dict)
    """The resolved job."""
    title: str = ""
    """The job's name."""
    strategy: str = ""
    dataset: str = ""
    """Its name; of a folder of images which one."""
    model: str = ""
    planned: int = 0
    """Rounds that the job asks for."""
    seed: int | None = None
    clients: int | None = None
    step: int = 0
    """Rounds made."""
    accuracy: float = NAN
    """The last one on the test set, else of the clients' own models."""
    best: float = NAN
    loss: float = NAN
    """The last one."""
    wall: float = NAN
    """Real time [s]."""
    started: str = ""
    """ISO 8601."""
    kept: int = 0
    """Models that were kept."""

    def described(self, key: str) -> str:
        """A component with its parameters, say "fedprox (mu=0.1)"."""
        return component(self.job.get(key))


def summarise(path: Path) -> Summary:
    """The run at `path`. ResultError if it cannot be read, or has no round yet."""
    with open_results(path) as run:
        rounds = run.rounds
        accuracy = rounds["accuracy"] if "accuracy" in rounds else np.zeros(0)
        if np.isnan(accuracy).all() and "client_accuracy" in rounds:
            accuracy = rounds["client_accuracy"]
        return of_job(
            run.job,
            status=run.status if run.status in STATUSES else "stopped",
            step=int(rounds["step"][-1]),
            accuracy=_last(accuracy),
            best=float(np.nanmax(accuracy)) if not np.isnan(accuracy).all() else NAN,
            loss=_last(rounds["loss"]) if "loss" in rounds else NAN,
            wall=float(rounds["wall"][-1]) if "wall" in rounds else NAN,
            started=str(run.start_time),
            kept=len(run.models),
        )


def starting(path: Path) -> Summary | None:
    """What is known of a result file that has no round yet; None if it is none such."""
    try:
        with path.open("rb") as content, h5py.File(content, "r") as file:
            if plain(file.attrs.get("format", "")) != FORMAT:
                return None
            if "committed" in file.attrs and file.attrs["committed"][0]:
                return None
            job = json.loads(values(file["job/resolved"]))
            return of_job(job, status="running", started=plain(values(file["start_time"])))
    except Exception:  # files come from anywhere: what cannot be told of one hides no other
        return None


def of_job(job: Mapping[str, Any], **more: Any) -> Summary:
    """What a resolved job tells, and what else is known. ResultError for what is no job: files come from anywhere."""
    sections = {key: job.get(key) for key in SECTIONS} if isinstance(job, Mapping) else {"": 0}
    if not all(isinstance(section, str | Mapping | None) for section in sections.values()):
        raise ResultError("the job in the file is none")
    data, partition = sections["data"], sections["partition"]
    name = _name(data)
    if name == "folder" and isinstance(data, Mapping):
        params = data.get("params")
        path = data.get("path") or (params.get("path") if isinstance(params, Mapping) else None)
        name = f"{name} {PurePath(str(path)).name}" if path else name
    return Summary(
        job=job,
        title=_text(job.get("name")),
        strategy=_name(sections["strategy"]),
        dataset=name,
        model=_name(sections["model"]),
        planned=_count(job.get("rounds")) or 0,
        seed=_count(job.get("seed")),
        clients=_count(partition.get("clients")) if isinstance(partition, Mapping) else None,
        **more,
    )


def _name(section: object) -> str:
    return _text(section.get("name") if isinstance(section, Mapping) else section)


def _text(value: object) -> str:
    return writable(str(value or ""))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST else None


def _last(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else NAN
