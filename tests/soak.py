"""A loss that watches its process: what it holds, every so many calls, goes to a file of its own."""

import ctypes
import gc
import os
import threading
from itertools import count
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

FOLDER, EVERY = "HPCFL_SOAK_FOLDER", "HPCFL_SOAK_EVERY"
COLUMNS = ("bytes", "files", "threads", "objects")

calls = count()
trim = ctypes.CDLL(None).malloc_trim


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """As PyTorch's."""
    if next(calls) % int(os.environ.get(EVERY, 1000)) == 0:
        watch()
    return F.cross_entropy(logits, labels)


def watch() -> None:
    """A line: resident bytes, open files, threads, objects that the garbage collector knows."""
    gc.collect()
    trim(0)  # what the allocator keeps for later is no leak
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files, threads, objects = (
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
        len(gc.get_objects()),
    )
    with Path(os.environ[FOLDER], f"{os.getpid()}.txt").open("a") as file:
        file.write(f"{resident} {files} {threads} {objects}\n")
