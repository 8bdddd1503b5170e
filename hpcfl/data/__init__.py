"""Datasets as NumPy arrays, read from the files their authors distribute, and how they are dealt to clients."""

from hpcfl.data.cache import find_cache, find_stage
from hpcfl.data.catalog import SOURCES, fetch, find_root, load, load_labels
from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.partition import PARTITIONS, class_counts, deal, owners
from hpcfl.data.sample import held_out

__all__ = [
    "PARTITIONS",
    "SOURCES",
    "Dataset",
    "Labels",
    "class_counts",
    "deal",
    "fetch",
    "find_cache",
    "find_root",
    "find_stage",
    "held_out",
    "load",
    "load_labels",
    "owners",
]
