"""The sweeps that ship with the jobs: every cell is one that runs."""

from pathlib import Path

import pytest

from hpcfl.federation import foresee
from hpcfl.sweep.file import read_sweep

SWEEPS = sorted((Path(__file__).parents[2] / "jobs/sweeps").glob("*.toml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_cell_is_a_job(path):
    cells = read_sweep(str(path)).cells
    assert len(cells) > 1
    for cell in cells:
        foresee(cell.job)
