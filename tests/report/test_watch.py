"""`watch` follows a file that is being written, from before it is there until its run is over."""

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console
from written import NAN, job, row, write

from hpcfl.errors import ResultError
from hpcfl.report.watch import View, eta, line, picture, watch
from hpcfl.results import Writer


def lines(path, wait=0.2, every=0.01):
    out = io.StringIO()
    finished = watch(path, Console(file=out, width=200, highlight=False), wait, every)
    return finished, out.getvalue().splitlines()


def view(accuracies, planned=10, wall=1.0):
    steps = np.arange(1, len(accuracies) + 1)
    columns = {"step": steps, "wall": wall * steps, "loss": 1 / steps}
    return View("digits", "running", planned, columns | {"accuracy": np.array(accuracies)})


def test_a_run_that_has_finished(tmp_path):
    path = write(tmp_path / "run.h5", [0.25, 0.5])
    assert lines(path) == (True, ["round 2/2  accuracy 0.5000  loss 0.5000  ETA 0:00", f"{path}: finished"])


@pytest.mark.parametrize(
    ("ending", "words"),
    [("interrupted", "NOT FINISHED: it was interrupted"), ("failed", "NOT FINISHED: it ended with an error")],
)
def test_a_run_that_ended_otherwise(tmp_path, ending, words):
    path = write(tmp_path / "run.h5", [0.25, 0.5], job(rounds=9), finish=ending)
    finished, said = lines(path)
    assert not finished
    assert said == ["round 2/9  accuracy 0.5000  loss 0.5000  ETA 0:04", f"{path}: {words}"]


def test_from_before_the_file_is_there_to_the_end(tmp_path):
    """A writer that waits for each of its rounds to be seen."""
    path, seen = tmp_path / "run.h5", threading.Semaphore(0)

    class Stream(io.StringIO):
        def write(self, text):
            if text.startswith("round"):
                seen.release()
            return super().write(text)

    def run():
        with Writer(path) as writer:
            writer.start("", job(rounds=3), {}, {"examples": np.array([9, 9])})
            for step in (1, 2, 3):
                writer.step(row(step, 0.25 * step), [])
                assert seen.acquire(timeout=30)
            writer.finish()

    out, thread = Stream(), threading.Timer(0.1, run)
    thread.start()
    assert watch(path, Console(file=out, width=200, highlight=False), 30, 0.01)
    thread.join()
    said = out.getvalue().splitlines()
    assert [text.partition("  ETA")[0] for text in said[:3]] == [
        f"round {step}/3  accuracy {0.25 * step:.4f}  loss {1 / step:.4f}" for step in (1, 2, 3)
    ]
    assert said[3:] == [f"{path}: finished"]


def test_a_run_that_was_killed(tmp_path):
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from written import job, row
from hpcfl.results import Writer
writer = Writer(Path({str(tmp_path / "run.h5")!r}))
writer.start("", job(rounds=5), {{}}, {{"examples": np.array([9, 9])}})
writer.step(row(1, 0.5), [])
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    out, path = io.StringIO(), tmp_path / "run.h5"

    class Stream(io.StringIO):
        def write(self, text):
            process.kill()  # as soon as the first round was told
            process.wait()
            return out.write(text)

    assert not watch(path, Console(file=Stream(), width=200, highlight=False), 60, 0.01)
    assert out.getvalue().splitlines() == [
        "round 1/5  accuracy 0.5000  loss 1.0000  ETA -",
        f"{path}: NOT FINISHED: the process that wrote it is gone",
    ]
    process.stdin.close()
    process.stdout.close()
    finished, said = lines(path, wait=0.1)
    assert not finished
    assert "nothing new for 0 s, and nobody writes it" in said[-1]


def test_what_never_comes(tmp_path):
    with pytest.raises(ResultError, match=r"there is no file .*run.h5 \(waited 0 s; --wait SECONDS waits longer\)"):
        lines(tmp_path / "run.h5", wait=0.05)
    path = write(tmp_path / "empty.h5", [], job(rounds=1), finish="interrupted")
    with pytest.raises(ResultError, match="has no rounds"):
        lines(path, wait=0.05)


def test_what_is_no_result_file_is_said_at_once(tmp_path):
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(ResultError, match="is not an HDF5 file"):
        lines(tmp_path / "a.h5", wait=600)
    path = write(tmp_path / "newer.h5", [0.5])
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "2.0"
    with pytest.raises(ResultError, match="has format version 2.0"):
        lines(path, wait=600)


def test_the_line_has_the_last_that_is_known():
    assert line(view([0.25, 0.5, NAN])) == "round 3/10  accuracy 0.5000  loss 0.3333  ETA 0:07"
    assert line(view([NAN], planned=0)) == "round 1  loss 1.0000  ETA -"


def test_clients_own_accuracy_is_told_and_drawn_where_there_is_no_other():
    run = view([NAN, NAN])
    run.rounds["client_accuracy"] = np.array([0.25, 0.75])
    assert line(run) == "round 2/10  clients' own 0.7500  loss 0.5000  ETA 0:08"
    out = io.StringIO()
    console = Console(file=out, width=60, height=20, highlight=False)
    console.print(picture(run, "", console))
    assert out.getvalue().startswith("digits: accuracy of the clients' own models against rounds\n")


def test_the_time_left_follows_the_last_rounds():
    run = view([0.5] * 100, planned=200)
    run.rounds["wall"][:80] /= 1000
    run.rounds["wall"][79:] = 100 + 3.0 * np.arange(21)
    assert eta(run) == "5:00"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_picture_fits_its_terminal(encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=out, width=60, height=20, highlight=False)
    console.print(picture(view([0.1, 0.5, 0.75]), "", console))
    out.flush()
    text = out.buffer.getvalue().decode(encoding).splitlines()
    assert text[0] == "digits: accuracy against rounds"
    assert text[1].startswith("0.750 ")
    assert text[-1].endswith(" 30%")
    assert len(text) <= 20
    assert max(map(len, text)) <= 60


def test_in_a_terminal_it_draws_and_exits_with_how_the_run_ended(tmp_path):
    path = write(tmp_path / "run.h5", [0.25, 0.5], job(rounds=9), finish="interrupted")
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcfl", "watch", str(path)], stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(mine, 65536):
            seen += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(mine)
    assert process.wait(60) == 1
    assert "accuracy against rounds" in seen.decode()
    assert "it was interrupted" in seen.decode()
