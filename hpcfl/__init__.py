"""Federated learning as an HPC job: rank 0 serves, the other ranks train, one HDF5 file at the end."""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["Results", "__version__", "load"]


def __getattr__(name: str) -> object:
    """`hpcfl.Results` and `hpcfl.load`, imported when they are asked for: commands that need neither stay quick."""
    if name in ("Results", "load"):
        return getattr(import_module("hpcfl.analysis"), name)
    raise AttributeError(f"module 'hpcfl' has no attribute {name!r}")
