"""What is left of a damaged result file: every step, model and fact that is whole, in a new file."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import h5py
import numpy as np
from h5py import h5g

from hpcfl.content import Content
from hpcfl.errors import ResultError
from hpcfl.results.continued import status
from hpcfl.results.files import DAMAGE, locked, reason, sync
from hpcfl.results.format import TABLES
from hpcfl.results.opening import check_format, open_content, plain
from hpcfl.results.table import describe, share_dimension

__all__ = ["repair"]

SCALES = ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "committed")
"""Attributes that are made anew: the first four refer to other datasets."""


class Padded(Content):
    """A file that lost its end, with zeros in its place: HDF5 opens no file that is shorter than it says."""

    def __init__(self, path: Path, length: int):
        super().__init__(path)
        self._length = length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset, whence = self._length + offset, io.SEEK_SET
        return super().seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:
        view = memoryview(buffer).cast("B")
        count = super().readinto(view)
        view[count:] = bytes(len(view) - count)
        return len(view)


def repair(path: Path, out: Path) -> list[str]:
    """Write what is whole in the result file `path` to the new file `out`, and tell what was saved and what is lost.

    `path` stays as it is. Of a run that was killed, and is whole as far as it came, the new file is as if it had been
    interrupted and closed. Of a whole file this is told, and nothing is written.
    Raises ResultError if a run is writing `path`, if `out` exists, if `path` is no result file of this major version or
    an older one, or if no round can be saved.
    """
    open_content(path).close()
    if locked(path):
        raise ResultError(f"a run is writing {path}: it can be read as it is, and repaired once the run has ended")
    if out.exists():
        raise ResultError(f"{out} exists and is not overwritten; choose another --out")
    size, length = path.stat().st_size, _length(path)
    aside = out.with_name(f"{out.name}.new")
    try:
        with Padded(path, max(length, size)) as content, _source(path, content) as source:
            rows = _whole_steps(path, source, size)
            is_closed = plain(source.attrs["status"]) != "running" and not _is_longer(source, rows)
            try:
                with h5py.File(aside, "w") as target:
                    lost = _write(source, target, size, rows)
                    saved = _contents(target, rows)
                sync(aside)
                if is_closed and not lost and length <= size:
                    return [f"{path} is whole: there is nothing to repair"]
                aside.replace(out)
            except OSError as error:
                raise ResultError(f"cannot write {out}: {reason(error)}") from error
            finally:
                aside.unlink(missing_ok=True)
    except DAMAGE as error:
        raise ResultError(f"nothing can be saved of {path}: {reason(error)}") from error
    return [f"{out}: {saved}", *(f"lost: {what}" for what in lost)]


def _length(path: Path) -> int:
    """How long the file says it is: the end of file address of HDF5's superblock, of version 0 in all result files."""
    head = path.open("rb").read(48)
    return struct.unpack("<Q", head[40:48])[0] if len(head) == 48 and head[8] == 0 else 0


def _source(path: Path, content: Padded) -> h5py.File:
    source = h5py.File(content, "r")
    check_format(path, source)
    return source


def _whole_steps(path: Path, source: h5py.File, size: int) -> dict[str, int]:
    """The rows of each table up to the last step of which all are whole; none lies beyond the last whole round."""
    committed, rows, end = dict(zip(TABLES, source.attrs["committed"].tolist())), {}, None
    for name in TABLES:
        try:
            whole = min(_whole_rows(column, size, committed[name]) for column in _columns(source[name]))
            steps = source[name]["step"][:whole]
        except DAMAGE:
            whole, steps = 0, np.zeros(0, int)
        if name == "rounds":
            if not whole:
                raise ResultError(f"nothing can be saved of {path}: no round in it is whole")
            end = steps[-1]
        elif whole < committed[name]:  # the last step that still has rows may have had more
            steps = steps[: np.searchsorted(steps, steps[-1])] if whole else steps
        rows[name] = int(np.searchsorted(steps, end, "right"))
    return rows


def _whole_rows(dataset: h5py.Dataset, size: int, most: int) -> int:
    """How many of the first `most` rows lie within the first `size` bytes of the file."""
    row = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    for start in range(0, min(most, len(dataset)), dataset.chunks[0]):
        try:
            chunk = dataset.id.get_chunk_info_by_coord((start,) + (0,) * (dataset.ndim - 1))
        except DAMAGE:
            return start
        if chunk.byte_offset is None:
            return start
        if chunk.byte_offset + chunk.size > size:
            return min(most, start + max(0, size - chunk.byte_offset) // row)
    return min(most, len(dataset))


def _columns(group: h5py.Group) -> list[h5py.Dataset]:
    """KeyError where one cannot be read: as values of the group they would be None."""
    return [group[name] for name in group]


def _is_longer(source: h5py.File, rows: dict[str, int]) -> bool:
    """Whether there are rows that a writer takes away when it closes the file, or columns that cannot be read."""
    try:
        return any(len(column) > rows[name] for name in TABLES for column in _columns(source[name]))
    except DAMAGE:
        return True


def _write(source: h5py.File, target: h5py.File, size: int, rows: dict[str, int]) -> list[str]:
    """Copy what is whole. Returns what is lost, in words."""
    copy = Copy(source, target, size, rows)
    copy.group("/")
    copy.attach()
    committed = dict(zip(TABLES, source.attrs["committed"].tolist()))
    target.attrs["committed"] = np.array(list(rows.values()))
    for name, columns in TABLES.items():  # of a table with columns that cannot be read no row is left
        table = target.require_group(name)
        for column in (column for column in columns if not rows[name] and column.name not in table):
            empty = table.create_dataset(column.name, (0,), column.dtype, maxshape=(None,), chunks=True)
            describe(empty, column)
            share_dimension(empty, 0, table["step"])
    whole = rows["rounds"] == committed["rounds"]
    if plain(source.attrs["status"]) == "running" or "end_time" in source and not (whole and "end_time" in target):
        target.attrs["status"] = status("interrupted")
        if "end_time" in target:
            del target["end_time"]
    models = target.require_group("model")
    for step in list(models):
        if not len(models[step]):
            del models[step]
    models.attrs["latest"] = max(map(int, models), default=-1)
    cut = [f"/{name}: {committed[name] - rows[name]:,} of {committed[name]:,} rows" for name in TABLES
           if rows[name] < committed[name]]  # fmt: skip
    lost = cut + copy.lost
    if lost:
        target.attrs["lost"] = "\n".join(lost)
    return lost


def _contents(target: h5py.File, rows: dict[str, int]) -> str:
    kept = sorted(map(int, target["model"]))
    models = f"the model after round {', '.join(map(str, kept))}" if kept else "no model"
    return f"{rows['rounds']:,} rounds, {rows['events']:,} updates, {models}"


class Copy:
    """A copy of what is whole in `source`, where only the first `size` bytes of it are there."""

    def __init__(self, source: h5py.File, target: h5py.File, size: int, rows: dict[str, int]):
        self._source, self._target, self._size, self._rows = source, target, size, rows
        self._places: dict[int, str] = {}
        self._scales: list[tuple[str, int, int]] = []
        self.lost: list[str] = []

    def group(self, place: str) -> None:
        """Copy a group and all that is in it; a model with a part that is lost is lost."""
        source, target = self._source[place], self._target.require_group(place)
        self._attributes(source, target)
        for name in source:
            inside = f"{place.rstrip('/')}/{name}"
            try:
                if not isinstance(source[name], h5py.Group):
                    self._dataset(inside)
                    continue
                before = len(self.lost)
                self.group(inside)
                if place.startswith("/model/") and len(self.lost) > before:
                    del self._target[inside]
            except DAMAGE:
                if place.strip("/") not in self._rows:
                    self.lost.append(inside)
                if place.startswith("/model/") and inside in self._target:
                    del self._target[inside]

    def attach(self) -> None:
        """Make the dimension scales anew."""
        for place, axis, address in self._scales:
            if place in self._target and address in self._places:
                share_dimension(self._target[place], axis, self._target[self._places[address]])

    def _dataset(self, place: str) -> None:
        source = self._source[place]
        address = h5g.get_objinfo(source.id).objno
        if address in self._places:  # the same dataset under another name
            self._target[place] = self._target[self._places[address]]
            return
        values = self._values(place, source)
        grows = {"maxshape": source.maxshape, "chunks": source.chunks} if source.chunks else {}
        target = self._target.create_dataset(place, data=values, dtype=source.dtype, **grows)
        self._attributes(source, target)
        self._places[address] = place
        for axis in range(source.ndim):
            scales = source.dims[axis].values()
            # by their addresses: HDF5 looks for their names, also where it cannot read
            self._scales += [(place, axis, h5g.get_objinfo(scale.id).objno) for scale in scales]
        if source.is_scale:
            self._scales.append((place, 0, address))

    def _values(self, place: str, source: h5py.Dataset) -> object:
        table = place.split("/")[1]
        if table in self._rows:
            return source[: self._rows[table]]
        if source.chunks is None:
            start = source.id.get_offset()
            if start is not None and start + source.id.get_storage_size() > self._size:
                raise OSError("its end is missing")
            return source[()]
        rows = len(source)
        if place.startswith(("/clients/own/", "/metrics/")):
            whole = [_whole_rows(column, self._size, len(column)) for column in self._own(place)]
            rows = int((source.parent["step"][: min(whole)] <= self._last_step).sum())
        elif _whole_rows(source, self._size, rows) < rows:
            raise OSError("its end is missing")
        return source[:rows]

    @property
    def _last_step(self) -> int:
        return int(self._source["rounds/step"][self._rows["rounds"] - 1])

    def _own(self, place: str) -> list[h5py.Dataset]:
        return [column for column in _columns(self._source[place].parent) if column.chunks]

    @staticmethod
    def _attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
        for name in source.attrs:
            if name not in SCALES:
                value = source.attrs.get_id(name)
                target.attrs.create(name, source.attrs[name], value.shape, value.dtype)
