"""A table of columns that only grows: one extensible HDF5 dataset per column, all along one dimension."""

from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from h5py import h5s

from hpcfl.results.format import Column


class Table:
    """The columns of one group, kept open: appending a row costs a few system calls per column.

    The file is opened without a chunk cache, so a row goes straight to its place in the file and the flush
    has only metadata left to write.
    """

    def __init__(self, group: h5py.Group, columns: Sequence[Column], chunk: int):
        self.rows = 0
        self._columns = columns
        self._datasets = []
        if columns[0].name in group:  # of a run that goes on; KeyError where another version wrote it
            self._datasets = [group[column.name] for column in columns]
            self.rows = len(self._datasets[0])
        else:
            self._create(group, chunk)
        self._handles = [(dataset.id, dataset.id.get_type(), dataset.dtype) for dataset in self._datasets]

    def _create(self, group: h5py.Group, chunk: int) -> None:
        for column in self._columns:
            dataset = group.create_dataset(column.name, (0,), column.dtype, maxshape=(None,), chunks=(chunk,))
            describe(dataset, column)
            self._datasets.append(dataset)
        for dataset in self._datasets:
            share_dimension(dataset, 0, self._datasets[0])

    def append(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add `rows`. A float that is missing becomes NaN; a missing integer or an unknown key is a ValueError."""
        if not rows:
            return
        known = {column.name for column in self._columns}
        for row in rows:
            if not row.keys() <= known:
                raise ValueError(f"unknown columns {sorted(row.keys() - known)}; known: {', '.join(sorted(known))}")
        values = []
        for column, (_, _, dtype) in zip(self._columns, self._handles):
            try:
                column_values = [row[column.name] for row in rows]
            except KeyError:
                if dtype.kind != "f":
                    raise ValueError(f"a row lacks {column.name!r}: {column.meaning}") from None
                column_values = [row.get(column.name, np.nan) for row in rows]
            values.append(np.asarray(column_values, dtype))
        memory = h5s.create_simple((len(rows),))
        for (handle, kind, _), array in zip(self._handles, values):
            handle.set_extent((self.rows + len(rows),))
            target = handle.get_space()
            target.select_hyperslab((self.rows,), (len(rows),))
            handle.write(memory, target, array, kind)
        self.rows += len(rows)

    def truncate(self, rows: int) -> None:
        """Keep the first `rows` rows of every column."""
        for handle, _, _ in self._handles:
            if handle.shape[0] != rows:
                handle.set_extent((rows,))
        self.rows = rows


def describe(dataset: h5py.Dataset, column: Column) -> None:
    """Say in the file itself what a column is, as NeXus does."""
    dataset.attrs["units"] = column.unit
    dataset.attrs["description"] = column.meaning


def share_dimension(dataset: h5py.Dataset, axis: int, scale: h5py.Dataset) -> None:
    """Let `axis` of `dataset` be the dimension of `scale`, which becomes a dimension scale if it is not yet one."""
    if not scale.is_scale:
        scale.make_scale(scale.name.rpartition("/")[2])
    if dataset != scale:
        dataset.dims[axis].attach_scale(scale)
