"""Named tensors in an HDF5 file: plain datasets, each distinct tensor once, the others links to it. No pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import h5py
import numpy as np
import torch
from torch import Tensor

from hpcfl.content import Content
from hpcfl.errors import ResultError
from hpcfl.results.files import DAMAGE, abandon, reason

__all__ = ["Shelf", "open_to_read", "open_to_write"]

State = dict[str, Tensor]
DTYPE = "dtype"
ON_DEVICE = "on_device"
WITHOUT_NUMPY = {torch.bfloat16: torch.int16}
"""Types that NumPy lacks, and what their bits are stored as."""


@contextmanager
def open_to_write(path: Path) -> Iterator[h5py.File]:
    """A new file; where it cannot be written HDF5 does not try again, and the OSError or RuntimeError goes on."""
    file = h5py.File(path, "w", locking=False)
    try:
        yield file
        file.flush()
    except BaseException:
        abandon(file)
        raise
    file.close()


@contextmanager
def open_to_read(path: Path) -> Iterator[h5py.File]:
    """A file that several ranks may read; ResultError where it is damaged."""
    try:
        with Content(path) as content, h5py.File(content, "r") as file:
            yield file
    except DAMAGE as failure:
        raise ResultError(f"cannot go on from the checkpoint's {path}: {reason(failure)}; remove its folder, and the "
                          "one before it is taken") from failure  # fmt: skip


class Shelf:
    """The tensors of one file, known so far."""

    def __init__(self) -> None:
        self._written: dict[int, tuple[Tensor, h5py.Dataset]] = {}
        self._read: dict[int, Tensor] = {}

    def write(self, group: h5py.Group, tensors: Mapping[str, Tensor]) -> None:
        """Store the tensors under their names."""
        for name, tensor in tensors.items():
            if id(tensor) in self._written:
                group[quote(name, safe=" ")] = self._written[id(tensor)][1]
                continue
            stored = WITHOUT_NUMPY.get(tensor.dtype)
            values = tensor.detach().cpu().contiguous()
            dataset = group.create_dataset(
                quote(name, safe=" "), data=(values.view(stored) if stored else values).numpy()
            )
            dataset.attrs[DTYPE] = str(tensor.dtype).removeprefix("torch.")
            dataset.attrs[ON_DEVICE] = tensor.device.type != "cpu"
            self._written[id(tensor)] = tensor, dataset

    def read(self, group: h5py.Group, device: torch.device) -> State:
        """The tensors of a group; what was on an accelerator goes to `device`."""
        return {unquote(name): self._tensor(dataset, device) for name, dataset in group.items()}

    def _tensor(self, dataset: h5py.Dataset, device: torch.device) -> Tensor:
        address = h5py.h5o.get_info(dataset.id).addr
        if address not in self._read:
            tensor, dtype = torch.from_numpy(np.array(dataset[()])), getattr(torch, dataset.attrs[DTYPE])
            tensor = tensor.view(dtype) if dtype in WITHOUT_NUMPY else tensor
            self._read[address] = tensor.to(device) if dataset.attrs[ON_DEVICE] else tensor
        return self._read[address]
