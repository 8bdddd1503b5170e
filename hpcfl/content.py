"""The bytes of an HDF5 file that may be damaged, for HDF5 to read without waiting for ever."""

import io
import os
from struct import unpack_from

__all__ = ["Content"]

HEAP = b"GCOL"
"""What a heap of HDF5, in which texts of any length lie, begins with."""
LARGEST = 1 << 30
"""Bytes of a heap that are looked at; a text of more is in no run."""


class Content(io.FileIO):
    """HDF5 would walk for ever through a heap of texts with an object without a size: there are such in damaged files,
    and in those whose end is missing. Reading one is an OSError here."""

    def readinto(self, buffer: memoryview) -> int:
        count = super().readinto(buffer)
        if bytes(buffer[:4]) == HEAP:  # h5py's view equals no bytes
            self._walk(self.tell() - count)
        return count

    def _walk(self, place: int) -> None:
        """Through the objects: index (0 for the room that is left), count, size, content; in steps of 8 bytes."""
        (size,) = unpack_from("<Q", os.pread(self.fileno(), 16, place).ljust(16, b"\0"), 8)
        heap = os.pread(self.fileno(), min(size, LARGEST), place)
        at = 16
        while at + 16 <= min(size, LARGEST):
            index, length = unpack_from("<H6xQ", heap.ljust(at + 16, b"\0"), at)
            step = 16 + -(-length // 8) * 8 if index else length
            if not 0 < step <= size - at:
                raise OSError("a heap of texts is damaged")
            at += step
