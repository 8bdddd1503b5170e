"""The sweeps that ship with the jobs: every cell is one that runs."""

from contextlib import suppress
from pathlib import Path

import pytest

from hpcfl.errors import DataError
from hpcfl.federation import foresee
from hpcfl.sweep.file import read_sweep

JOBS = Path(__file__).parents[2] / "jobs"
SWEEPS = sorted(path for path in JOBS.rglob("*.toml") if "\njob = " in path.read_text("utf-8"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_cell_is_a_job(path):
    cells = read_sweep(str(path)).cells
    assert len(cells) > 1
    for cell in {cell.job.spec.data.name: cell for cell in cells}.values():
        with suppress(DataError):  # the dataset is not there, or not all of it: a mistake in the job is a JobError
            foresee(cell.job)
