"""The result file: one HDF5 file per run, written by rank 0 after every step and readable at any moment."""

from hpcfl.results.lasting import Lasting
from hpcfl.results.reader import Reader, open_results
from hpcfl.results.writer import Writer

__all__ = ["Lasting", "Reader", "Writer", "open_results"]
