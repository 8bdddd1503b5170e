"""The file of a run that is resumed: cut back to the checkpoint's step, appended to, and whole at every moment."""

import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, event, round_row, write_steps

from hpcfl.errors import ResultError
from hpcfl.results import Writer, open_results

OWN = np.array([0.5, 0.25])


def write_run(path, last, finished=True, start=1, writer=None):
    """Steps up to the last one, with kept models and evaluations of the clients' own."""
    with writer or Writer(path) as run:
        if writer is None:
            run.start("text", JOB, ENVIRONMENT, CLIENTS, ["a", "b", "c"], OWNER)
        for step in range(start, last + 1):
            run.clients(step, OWN * step, OWN / step)
            run.step(round_row(step), [event(step, 0), event(step, 1, "failed", reason=f"no {step}")])
            if step % 2 == 0:
                run.model(step, VECTOR + step, LAYOUT)
        if finished:
            run.finish()


def everything(path):
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith(("environment/restarts", "start_time", "end_time")):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(collect)
        return (
            found
            | {name: file.attrs[name] for name in ("committed", "status")}
            | {"latest": file["model"].attrs["latest"]}
        )


@pytest.mark.parametrize("step", [0, 1, 3, 4, 5])
def test_a_resumed_run_leaves_what_a_whole_one_leaves(tmp_path, step):
    whole, path = tmp_path / "whole.h5", tmp_path / "x.h5"
    write_run(whole, 6)
    write_run(path, 5)
    writer = Writer(path, resumes=True)
    writer.resume(step, "text", JOB, {"ranks": 2, "hosts": ["n7"]}, exact=True)
    if step:
        with open_results(path) as found:
            assert found.rounds["step"].tolist() == list(range(1, step + 1))
            assert (found.status, found.finished) == ("running", False)
            assert list(found.models) == [kept for kept in (2, 4) if kept <= step]
    write_run(path, 6, start=step + 1, writer=writer)
    first, second = everything(whole), everything(path)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
    with open_results(path) as found:
        assert found.environment["ranks"] == 3
        (restart,) = found.restarts
        assert (restart["step"], restart["ranks"], restart["hosts"], restart["exact"]) == (step, 2, ["n7"], True)
        assert found.job_text == "text"


def test_a_run_may_be_resumed_many_times(tmp_path):
    path = tmp_path / "x.h5"
    write_run(path, 4, finished=False)
    for step in (3, 4, 4):
        writer = Writer(path, resumes=True)
        writer.resume(step, "text", JOB | {"rounds": 9}, {}, exact=False)
        write_run(path, 5, finished=False, start=step + 1, writer=writer)
    with open_results(path) as found:
        assert [restart["step"] for restart in found.restarts] == [3, 4, 4]
        assert found.rounds["step"].tolist() == [1, 2, 3, 4, 5]
        assert found.job["rounds"] == 9


def test_until_it_is_resumed_the_file_is_as_it_was(tmp_path):
    path = tmp_path / "x.h5"
    write_run(path, 4)
    before = path.read_bytes()
    Writer(path, resumes=True).close()
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["x.h5"]
    with h5py.File(path, "r+") as file:
        del file["rounds/loss"]
    before = path.read_bytes()
    writer = Writer(path, resumes=True)
    with pytest.raises(ResultError, match="cannot go on with .*; it is as it was"):
        writer.resume(2, "text", JOB, {}, exact=True)
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["x.h5"]


def test_a_file_that_another_run_writes_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    with Writer(path) as run:
        run.start("text", JOB, ENVIRONMENT, CLIENTS)
        write_steps(run, 1, 2)
        copy = shutil.copy(path, tmp_path / "copy.h5")
        assert "another run writes there" in resumed_elsewhere(path)
    Writer(copy, resumes=True).close()


def resumed_elsewhere(path):
    """What another process says: HDF5 shares a lock within one."""
    code = f"from pathlib import Path; from hpcfl.results import Writer; Writer(Path({str(path)!r}), resumes=True)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
