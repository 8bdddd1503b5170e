"""Federated learning as an HPC job: rank 0 serves, the other ranks train, one HDF5 file at the end."""

__version__ = "0.1.0"
