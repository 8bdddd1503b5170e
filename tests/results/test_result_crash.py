"""A file whose writer was killed, interrupted or ran out of space: every step is there whole, or not at all."""

import io
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import pytest
from small_run import ENVIRONMENT, JOB, LAYOUT, VECTOR, round_row, write_steps

from hpcfl.errors import ResultError
from hpcfl.results import open_results
from hpcfl.results.continued import cut_back
from hpcfl.results.sections import write_model, write_state
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


class Logged(io.RawIOBase):
    """A file in memory that remembers each write."""

    def __init__(self, content: bytes):
        self.content, self.writes, self._place = bytearray(content), [], 0

    def seek(self, offset, whence=io.SEEK_SET):
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self.content)}[whence]
        return self._place

    def tell(self):
        return self._place

    def readinto(self, buffer):
        found = self.content[self._place : self._place + len(buffer)]
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)

    def write(self, words):
        self.writes.append((self._place, bytes(words)))
        put(self.content, *self.writes[-1])
        self._place += len(words)
        return len(words)

    def truncate(self, size=None):
        return size


def put(content: bytearray, place: int, words: bytes) -> None:
    content.extend(bytes(max(0, place + len(words) - len(content))))
    content[place : place + len(words)] = words


def test_a_model_that_is_half_written_at_a_kill_is_not_there_and_the_run_goes_on(run, tmp_path):
    path, writer = run
    write_steps(writer, 1, 2)
    writer.model(2, VECTOR, LAYOUT)  # the index of /model is there; while it grows the order is HDF5's
    write_steps(writer, 3, 6)
    writer.close()
    content = bytearray(path.read_bytes())
    for step in (4, 6):
        file = Logged(content)
        with h5py.File(file, "r+") as opened:
            write_model(opened, step, "global", VECTOR, LAYOUT)
            write_state(opened, step, "momentum", VECTOR)
            count = len(file.writes)
        for place, words in file.writes[:count]:  # killed before each of them
            path.write_bytes(content)
            cut_back(path, tmp_path / "cut.h5", step - 1, "", JOB, ENVIRONMENT)
            with h5py.File(tmp_path / "cut.h5", "r+") as cut:
                assert [*map(int, cut["model"])] == [*range(2, step, 2)]
                write_model(cut, step, "global", VECTOR, LAYOUT)
            assert open_results(tmp_path / "cut.h5").model(step - 2)["fc.weight"].tolist() == [[0, 1], [2, 3]]
            put(content, place, words)
        content = file.content
        path.write_bytes(content)
        with h5py.File(path, "r+") as opened:
            opened["model"].attrs.modify("latest", step)
        content = bytearray(path.read_bytes())
        assert open_results(path).models[step] == ["global"]
        assert open_results(path).state("momentum", step).tolist() == VECTOR.tolist()


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
