"""What a list of runs tells of one: read from its file in a few milliseconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfl.report.show import component
from hpcfl.results import open_results
from hpcfl.results.format import FORMAT
from hpcfl.results.opening import plain

__all__ = ["Summary", "starting", "summarise"]

NAN = math.nan


@dataclass(frozen=True)
class Summary:
    """A run in a line; what is not known is empty, 0 or NaN."""

    status: str = ""
    """As the file says it."""
    job: Mapping[str, Any] = field(default_factory=dict)
    """The resolved job."""
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

    @property
    def title(self) -> str:
        """The job's name."""
        return str(self.job.get("name") or "")

    @property
    def planned(self) -> int:
        """Rounds that the job asks for; 0 where it does not say."""
        return int(self.job.get("rounds") or 0)

    @property
    def seed(self) -> int | None:
        return self.job.get("seed")

    @property
    def strategy(self) -> str:
        return _name(self.job.get("strategy"))

    @property
    def dataset(self) -> str:
        """The dataset's name; of a folder of images which one."""
        data = self.job.get("data")
        name = _name(data)
        path = data.get("path") or (data.get("params") or {}).get("path") if isinstance(data, Mapping) else None
        return f"{name} {Path(str(path)).name}" if name == "folder" and path else name

    @property
    def model(self) -> str:
        return _name(self.job.get("model"))

    @property
    def clients(self) -> int | None:
        partition = self.job.get("partition")
        return partition.get("clients") if isinstance(partition, Mapping) else None

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
        return Summary(
            run.status,
            run.job,
            int(rounds["step"][-1]),
            _last(accuracy),
            float(np.nanmax(accuracy)) if not np.isnan(accuracy).all() else NAN,
            _last(rounds["loss"]) if "loss" in rounds else NAN,
            float(rounds["wall"][-1]) if "wall" in rounds else NAN,
            run.start_time,
            len(run.models),
        )


def starting(path: Path) -> Summary | None:
    """What is known of a result file without a round; None if it is none."""
    try:
        with path.open("rb") as content, h5py.File(content, "r") as file:
            if plain(file.attrs.get("format", "")) != FORMAT:
                return None
            return Summary(
                "running", json.loads(file["job/resolved"].asstr()[()]), started=plain(file["start_time"][()])
            )
    except (OSError, RuntimeError, KeyError, ValueError):
        return None


def _name(section: object) -> str:
    return str(section.get("name") or "") if isinstance(section, Mapping) else str(section or "")


def _last(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else NAN
