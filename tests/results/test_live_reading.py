"""A file that a running job writes is read in a loop: a row is there whole or not at all, and reading never fails."""

from threading import Thread

import h5py
import pytest
from small_run import round_row, write_steps
from test_result_crash import start_writing, whole_steps

from hpcfl.errors import ResultError
from hpcfl.results import open_results

READS = 12


@pytest.fixture
def writing(tmp_path):
    """The file of a process that writes as fast as it can, with chunks so small that its structure often changes."""
    path = tmp_path / "run.h5"
    with start_writing(path) as process:
        for _ in range(3):
            process.stdout.readline()
        # the pipe must not fill up, or the writer would stand still
        drain = Thread(target=lambda: [None for _ in process.stdout])
        drain.start()
        yield path
        process.kill()
        drain.join()


def test_every_step_is_whole_while_the_run_goes_on(writing):
    with open_results(writing) as first:
        seen = [whole_steps(writing) for _ in range(READS)]
        assert seen == sorted(seen)
        assert seen[-1] > len(first.rounds["step"])
        # what was opened first is as it was, though the file's structure has changed since
        steps = range(1, 1 + len(first.rounds["step"]))
        assert first.rounds["loss"].tolist() == [round_row(step)["loss"] for step in steps]
        assert first.status == "running"


def test_a_model_that_is_there_is_whole(writing):
    found = []
    while len(found) < READS:
        with open_results(writing) as run:
            for step in list(run.models)[-1:]:
                found.append(run.model(step)["fc.weight"].tolist())
    assert found == [[[0, 1], [2, 3]]] * READS


def test_a_row_that_its_chunks_do_not_hold_is_an_error_and_no_zero(run):
    path, writer = run
    write_steps(writer, 1, 3)
    writer.close()
    with h5py.File(path, "r+") as file:
        # as an index of chunks looks to a reader while its half moves elsewhere
        file["rounds/loss"].resize(0, 0)
        file["rounds/loss"].resize(3, 0)
    with open_results(path) as found, pytest.raises(ResultError, match="cannot read /rounds/loss .* rows are missing"):
        found.rounds["loss"]
