"""A run that has begun."""

import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, OWNER

from hpcfl.results import Writer


@pytest.fixture
def run(tmp_path):
    """(path, writer) of a run that is started and has no step yet."""
    with Writer(tmp_path / "run.h5") as writer:
        writer.start('name = "small"\n', JOB, ENVIRONMENT, CLIENTS, ["cat", "dog", "øl"], OWNER)
        yield tmp_path / "run.h5", writer
