"""Runs to be read: one that goes on, and whole ones."""

import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, event, round_row

from hpcfl.results import Writer

LABELS = ["cat", "dog", "øl"]


@pytest.fixture
def run(tmp_path):
    """(path, writer) of a run that is started and has no step yet."""
    with Writer(tmp_path / "run.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        yield tmp_path / "run.h5", writer


@pytest.fixture
def write(tmp_path):
    """Write a run under a name: its job, how many steps it makes, and what is to be different."""

    def written(name="run", job=JOB, steps=4, *, client=None, vector=VECTOR, finish=True, **row):
        path = tmp_path / f"{name}.h5"
        with Writer(path) as writer:
            writer.start('name = "small"\n', job, ENVIRONMENT, CLIENTS, LABELS, OWNER)
            for step in range(1, steps + 1):
                # rows come in the order in which updates ended, which the real clock does not repeat
                failed = event(step, 1, "failed", reason=f"no {step}")
                writer.step(round_row(step) | row, [failed, event(step, 0) | (client or {})])
                writer.clients(step, VECTOR[1:3] / step, VECTOR[:2] / 4)
            writer.model(steps, vector, LAYOUT)
            if finish:
                writer.finish()
        return path

    return written
