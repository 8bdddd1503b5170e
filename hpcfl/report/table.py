"""What a paper's table says of many runs: datasets, models and schemes in rows, a column for each architecture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfl.errors import ResultError
from hpcfl.report.grid import Grid
from hpcfl.report.runs import collect, last_own
from hpcfl.results import Reader, open_results
from hpcfl.sweep.condition import differences

__all__ = ["tabulate"]

DATASETS = {
    "cifar10": "CIFAR-10",
    "cinic10": "CINIC-10",
    "speech_commands": "Speech Commands",
    "ag_news": "AG News",
    "cifar100": "CIFAR-100",
    "emnist": "EMNIST",
    "fashion_mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "shakespeare": "Shakespeare",
}
FAMILIES = {"vgg": "VGG", "resnet": "ResNet", "charcnn": "CharCNN", "vdcnn": "VDCNN"}
SCHEMES = {
    "standalone": "Standalone",
    "clustered_fl": "Clustered-FL",
    "basic_common": "Basic-Common",
    "clustered_common": "Clustered-Common",
    "max_common": "Max-Common",
    "fedavg": "FedAvg",
}
"""Names of jobs, as papers write them and in the order of their tables; others follow under their own."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Run:
    """What the table takes of a result file."""

    path: Path
    job: dict[str, Any]
    key: Key
    """Dataset, model, scheme: by the job's names."""
    figures: dict[str, float]


def tabulate(paths: Sequence[Path]) -> tuple[Grid, list[str]]:
    """The table of the result files, and of those in folders; and a line for each one in a folder that is left out.

    Runs that differ in nothing but the seed share a row. ResultError for a file that is given and is none of a finished
    run, or for runs that should share a row and do not fit.
    """
    runs, notes = collect(paths, take)
    grid = Grid(("Dataset", "Model", "Scheme"))
    for key, alike in grouped(runs):
        check(key, alike)
        for run in alike:
            grid.enter(named(key), run.figures)
    for column in grid.columns:
        for opening in dict.fromkeys(key[:2] for key in grid.rows):
            grid.crown([(key, column) for key in grid.rows if key[:2] == opening])
    return grid, notes


def take(path: Path) -> Run:
    """Key and figures of a finished run."""
    with open_results(path) as run:
        if not run.finished:
            raise ResultError(f"{path} is of a run that has not finished ({run.status})")
        job = run.job
        missing = [
            key for key in ("data", "model", "strategy") if not (isinstance(job.get(key), dict) and "name" in job[key])
        ]
        if missing := missing + [key for key in ("seed",) if key not in job]:
            raise ResultError(f"{path} cannot stand in the table: its job names no {' and no '.join(missing)}")
        key = job["data"]["name"], family(architectures(run) or [job["model"]["name"]]), job["strategy"]["name"]
        return Run(path, job, key, figures(run))


def figures(run: Reader) -> dict[str, float]:
    """The last accuracies: of each architecture the mean over its clients' own models, V1, V2, ... in the order of the
    clients; where all have one architecture, mean and lowest decile; of the global model where no client has its own.

    Own models are measured on what their clients kept back or, where they kept nothing, on the test set.
    """
    if not len(run.own):
        return {"Accuracy": last(run.rounds["accuracy"])}
    each, versions = last_own(run), architectures(run)
    if len(versions) > 1:
        architecture = run.clients["architecture"]
        return {f"V{at}": mean(each[architecture == name]) for at, name in enumerate(versions, 1)}
    return {"Mean": mean(each), "Lowest decile": last(run.rounds["client_accuracy_low"])}


def architectures(run: Reader) -> list[str]:
    """The clients' models, each once, in the order of the clients; none where the file does not say."""
    if "architecture" not in run.clients:
        return []
    return list(dict.fromkeys(run.clients["architecture"].tolist()))


def mean(accuracies: np.ndarray) -> float:
    known = accuracies[~np.isnan(accuracies)]
    return float(known.mean()) if len(known) else np.nan


def last(accuracies: np.ndarray) -> float:
    known = accuracies[~np.isnan(accuracies)]
    return float(known[-1]) if len(known) else np.nan


def family(names: Sequence[str]) -> str:
    """What versions are called together: their name without the number, or all of them."""
    stems = {name.rstrip("0123456789") for name in names}
    return stems.pop() if len(names) > 1 and len(stems) == 1 else "/".join(names)


def grouped(runs: Iterable[Run]) -> list[tuple[Key, list[Run]]]:
    """The runs by key in the order of the table, each row's by seed."""
    rows: dict[Key, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.job["seed"], str(run.path))):
        rows.setdefault(run.key, []).append(run)

    def place(key: Key) -> list[tuple[int, str]]:
        names = list(DATASETS), list(FAMILIES), list(SCHEMES)
        return [(known.index(part) if part in known else len(known), part) for part, known in zip(key, names)]

    return sorted(rows.items(), key=lambda row: place(row[0]))


def check(key: Key, runs: Sequence[Run]) -> None:
    """ResultError unless the runs of a row differ in the seed, and in nothing else that decides a number."""
    first = runs[0]
    for before, run in zip(runs, runs[1:]):
        differ = [what for what in differences(first.job, run.job) if not what.startswith("seed is ")]
        if differ:
            why = f"differ in more than the seed: {'; '.join(differ).replace(' there', '').replace(' here', '')}"
        elif run.job["seed"] == before.job["seed"]:
            first, why = before, f"have the same seed {run.job['seed']}"
        else:
            continue
        raise ResultError(
            f"{first.path} and {run.path} would share the row {', '.join(named(key))}, but {why}; give one of them"
        )


def named(key: Key) -> Key:
    """As the table says it."""
    return tuple(names.get(part, part) for part, names in zip(key, (DATASETS, FAMILIES, SCHEMES)))
