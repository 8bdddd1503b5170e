"""Which runs can judge a picture: those over images that kept their model."""

from __future__ import annotations

from collections.abc import Mapping

from hpcfl.dashboard.catalogue import Run

__all__ = ["IMAGES", "judges"]

IMAGES = (
    "cifar10", "cifar100", "cinic10", "digits", "emnist", "fashion_mnist", "folder", "mnist", "npz", "omniglot", "svhn",
)  # fmt: skip
"""Datasets whose samples are images, or may be."""


def judges(run: Run) -> bool:
    """Whether the run has ended with a model that takes pictures, as far as its job tells."""
    data = run.summary.job.get("data")
    name = data.get("name") if isinstance(data, Mapping) else data
    return run.readable and not run.live and run.summary.kept > 0 and name in IMAGES
