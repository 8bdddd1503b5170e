"""A file whose writer was killed, interrupted or ran out of space: every step is there whole, or not at all."""

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import pytest
from small_run import round_row, write_steps

from hpcfl.errors import ResultError
from hpcfl.results import open_results
from hpcfl.results.table import Table

# Small chunks, so that a step often needs new ones: that is when the file's structure changes.
WRITE_FOREVER = """
    import itertools, os, resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, VECTOR, event, round_row
    from hpcfl.errors import ResultError
    from hpcfl.results import Writer, writer

    writer.CHUNKS = {"rounds": 8, "events": 16, "failures": 4}
    with Writer(Path(sys.argv[1])) as run:
        run.start("", JOB, ENVIRONMENT, CLIENTS)
        if len(sys.argv) > 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
        for step in itertools.count(1):
            run.step(round_row(step), [event(step, 0), event(step, 1, "failed", reason=f"no {step}")])
            if step % 50 == 0:
                run.model(step, VECTOR, LAYOUT)
            os.write(1, b"%d\\n" % step)
"""


def start_writing(path, *more, **options):
    command = [sys.executable, "-c", textwrap.dedent(WRITE_FOREVER), path, Path(__file__).parents[1], *map(str, more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def whole_steps(path):
    """How many steps the file holds, having checked each of them."""
    with open_results(path) as found:
        steps = list(range(1, 1 + len(found.rounds["step"])))
        for name, values in found.rounds.items():
            assert values.tolist() == [round_row(step)[name] for step in steps]
        assert found.events["step"].tolist() == [step for step in steps for _ in range(2)]
        assert found.events["status"].tolist() == [0, 1] * len(steps)
        assert found.failures["reason"].tolist() == [f"no {step}" for step in steps]
        assert found.job["name"] == "small"
    return len(steps)


def test_a_killed_run_keeps_every_step_it_had_recorded(tmp_path):
    moments = random.Random(0)
    for kill in range(10):
        path = tmp_path / f"{kill}.h5"
        with start_writing(path) as process:
            for _ in range(moments.randint(1, 300)):
                process.stdout.readline()
            process.kill()
            lines = process.stdout.read().splitlines()
        recorded = int(lines[-1]) if lines else 1
        assert recorded <= whole_steps(path) <= recorded + 1 or not lines
        with open_results(path) as found:
            assert (found.status, found.finished) == ("running", False)
        h5py.File(path, "r+").close()  # it can be appended to


def test_a_run_that_may_not_write_on_says_so_once_and_stays_readable(tmp_path):
    path = tmp_path / "run.h5"
    with start_writing(path, 4_010_000, stderr=subprocess.PIPE) as process:
        recorded = int(process.stdout.read().split()[-1])
        errors = process.stderr.read()
    assert process.returncode == 1  # the one ResultError, and no crash of HDF5 on the way out
    assert errors.count("hpcfl.errors.StorageError:") == 1
    message = f"cannot write {path}: File too large; what was recorded up to step {recorded} is readable"
    assert errors.splitlines()[-1] == f"hpcfl.errors.StorageError: {message}"
    assert whole_steps(path) == recorded > 100


def test_a_step_that_is_interrupted_is_not_there(run, monkeypatch):
    path, writer = run
    write_steps(writer, 1, 3)
    append = Table.append

    def interrupted(table, rows):
        if "reason" in [column.name for column in table._columns]:
            raise KeyboardInterrupt
        append(table, rows)

    monkeypatch.setattr(Table, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_steps(writer, 4, 4)
    writer._file.flush()
    with h5py.File(path, "r", locking="best-effort") as file:
        assert file["rounds/step"].shape == (4,)  # it has reached the file, and does not count
    with open_results(path) as found:
        assert found.rounds["step"].tolist() == [1, 2, 3]
        assert found.events["step"].tolist() == [1, 1, 2, 2, 3, 3]
    writer.close()
    with h5py.File(path, "r") as file:
        assert file["rounds/step"].shape == (3,)
        assert file["events/step"].shape == (6,)


def test_a_closed_writer_refuses(run):
    _, writer = run
    writer.close()
    with pytest.raises(ResultError, match="it has been closed"):
        write_steps(writer, 1, 1)
