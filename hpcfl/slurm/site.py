"""The site file: what every job on a cluster needs and no job file should say."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from hpcfl.errors import JobError
from hpcfl.schema import Section

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PLACES", "Site", "read_site"]

PLACES = ("slurm/site.toml", "~/.config/hpcfl/site.toml")
"""Where the file is looked for when neither --site nor HPCFL_SITE names one, the nearest first."""

Word = Annotated[str, Field(pattern=r"^[^\s\"'\\]+$")]
Line = Annotated[str, Field(pattern=r"^[^\n\r]+$")]


class Site(Section):
    """A cluster. Options of `hpcfl submit` win over it."""

    partition: Word | None = None
    """Where to queue; without it Slurm's default."""
    account: Word | None = None
    """Whom to charge."""
    qos: Word | None = None
    """Quality of service."""
    modules: list[Word] = []
    """Environment modules to load, in this order."""
    environment: Line | None = None
    """What to activate: the folder of a virtual environment (with a / in it), or the name of a conda environment.
    Without it, the Python that submits."""
    launcher: Literal["srun", "mpirun"] = "srun"
    """What starts the ranks: srun, which needs no MPI, or the mpirun of the environment."""
    interface: Word | None = None
    """Network that ranks of several hosts use, say ib0 (NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME)."""
    sbatch: list[Line] = []
    """More options of sbatch, each as it stands after #SBATCH: "--mem=64G"."""
    setup: list[Line] = []
    """Lines of shell to run before the ranks start."""

    @field_validator("sbatch")
    @classmethod
    def _options(cls, lines: list[str]) -> list[str]:
        for line in lines:
            if not line.startswith("-"):
                raise ValueError(f"{line!r} is no option of sbatch; should be like --mem=64G")
        return lines


def read_site(given: str | None, environ: Mapping[str, str]) -> Site:
    """The site file `given`, else the one that HPCFL_SITE names, else the first of PLACES; the defaults without any.

    JobError for a named file that is not there, and for what is wrong in it, each mistake with its key.
    """
    named = given or environ.get("HPCFL_SITE")
    source = "--site" if given else "HPCFL_SITE"
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise JobError(f"{source} {named}: there is no such file")
    else:
        path = next((path for place in PLACES if (path := Path(place).expanduser()).is_file()), None)
        if path is None:
            return Site()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as failure:
        raise JobError(f"site file {path} cannot be read: {failure}") from None
    except tomllib.TOMLDecodeError as failure:
        raise JobError(f"{path}: not valid TOML: {failure}") from None
    return Site.parse(table, str(path))


def activation(environment: str) -> str:
    """The line of shell that activates it."""
    if "/" in environment:
        folder = re.sub(r"^~(?=/)", "$HOME", environment.rstrip("/"))
        return f'source "{folder}/bin/activate"'
    return f'eval "$(conda shell.bash hook)" && conda activate "{environment}"'
