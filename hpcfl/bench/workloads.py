"""The workloads, each a packaged job of the same name, with the limits it is held against and what peers reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpcfl.data import SOURCES, find_root
from hpcfl.jobfile import JobFile, packaged

__all__ = ["WARM_UP", "WORKLOADS", "Workload", "job_of"]

WARM_UP = 2
"""Rounds that warm up and do not count."""
LOOP = "bare loop"
REDUCED = "bare loops, one all_reduce"
APART = "bare loops that never talk"
STACKED = "all clients at once (vmap)"


@dataclass(frozen=True)
class Workload:
    """What to compare hpcfl with, and how."""

    title: str
    alone: dict[str, float]
    """Floor -> the ratio to stay below in one process."""
    ranks: dict[str, float]
    """Likewise with several client ranks."""
    stacked: bool = False
    """Whether clients train at once on a floor too."""
    memory_bytes: float | None = None
    """Most that the peak memory of a server and two client ranks may add up to."""
    rounds: int | None = None
    """Measured ones, unless --repeats says; without it those of its job."""
    asked: bool = False
    """Whether it is measured only where it is named."""
    peers: dict[str, float] = field(default_factory=dict)
    """Time of a round, in times of the best bare loop in one process on the same two cores, as measured before."""


WORKLOADS = {
    "w1": Workload(
        "bound by training: 10 of 100 clients of 60 samples on the two-convolution CNN",
        alone={LOOP: 1.00},
        ranks={REDUCED: 1.05},
        memory_bytes=1.3e9,
        peers={
            "pfl-research 0.6, 2 processes": 0.94, "BlazeFL": 1.03, "FedML": 1.11, "Flower 1.4x": 1.43,
            "FedLab 1.3, server + 2": 1.52, "APPFL 1.12, server + 2": 2.8,
        },
    ),
    "w2": Workload(
        "bound by overhead: 100 of 1000 clients of 20 samples on logistic regression",
        alone={STACKED: 1.20},
        ranks={STACKED: 1.20},
        stacked=True,
        peers={
            "BlazeFL": 1.72, "pfl-research 0.6, 2 processes": 1.95, "FedML": 3.05, "FedLab 1.3, server + 2": 5.9,
            "Flower 1.4x": 16.5, "APPFL 1.12, server + 2": 32.5,
        },
    ),
    "w3": Workload(
        "bound by memory: 8 clients of 8 samples on 10.5 million parameters",
        alone={},
        ranks={REDUCED: 1.10},
        peers={
            "FedML": 1.50, "pfl-research 0.6": 1.76, "BlazeFL": 1.98, "Flower 1.4x": 4.5,
            "APPFL 1.12, server + 2": 8.9, "FedLab 1.3, server + 2": 10.9,
        },
    ),
    "cifar": Workload(
        "for a GPU: 50 of 1000 clients of 50 samples on pfl-research's CNN for CIFAR-10",
        alone={},
        ranks={},
        rounds=20,
        asked=True,
    ),
    "vgg": Workload(
        "deep: 2 of 8 clients of 32 samples on VGG-19 with batch norm",
        alone={LOOP: 1.10},
        ranks={},
        rounds=8,
        asked=True,
    ),
}  # fmt: skip


def job_of(name: str, overrides: Sequence[str] = ()) -> JobFile:
    """The packaged job of a workload; cifar on CIFAR-10 itself, if that is there and no other data was asked for."""
    given = any(change.startswith("data") for change in overrides)
    if name == "cifar" and not given and SOURCES["cifar10"].find(find_root(None, os.environ)) is not None:
        overrides = ("data=cifar10", *overrides)
    return packaged(name, overrides)
