"""Slurm: the batch script of a job, handed in, looked after and cancelled. Nothing here imports torch."""

from hpcfl.slurm.script import Request, script
from hpcfl.slurm.site import Site, read_site

__all__ = ["Request", "Site", "read_site", "script"]
