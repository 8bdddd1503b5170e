"""`compare`: runs side by side, and those that cannot be."""

import io
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from rich.console import Console
from written import job, write

from hpcfl.errors import ResultError
from hpcfl.report.compare import compare, labels


def compared(*paths, **wish):
    out = io.StringIO()
    compare(paths, Console(file=out, width=100, highlight=False), **wish)
    return [re.sub(" +", " ", line).strip() for line in out.getvalue().splitlines()]


@pytest.fixture
def two(tmp_path):
    slow = write(tmp_path / "slow.h5", [0.25, 0.5, 0.75], job(seed=1, rounds=3), own=[0.5, 0.75])
    fast = write(
        tmp_path / "fast.h5", [0.5, 0.75, 0.875], job("fedprox", rounds=3, client={"lr": 0.5}), own=[0.75, 0.75]
    )
    return slow, fast


def test_what_a_target_took(two):
    lines = compared(*two)
    at = lines.index("to accuracy 0.7500 of the global model, the best that both reach")
    assert lines[at + 1 : at + 4] == [
        "round virtual [s] wall [s] clients' traffic",
        "slow 3 6.0 1.5 12.0 MB",
        "fast 2 4.0 1.0 8.0 MB",
    ]
    assert "slow not reached - - -" in compared(*two, target=0.8)
    assert "fast 3 6.0 1.5 12.0 MB" in compared(*two, target=0.8)


def test_how_well_and_how_evenly(two):
    lines = compared(*two)
    assert "slow 0.7500 0.7500 3 0.5000 3" in lines
    assert "fast 0.8750 0.8750 3 0.7188 3" in lines
    assert "slow 0.6250 0.1250 0.5250 0.5000 0.7500 2" in lines
    assert "fast 0.7500 0.0000 0.7500 0.7500 0.7500 2" in lines


def test_the_area_is_over_a_stretch_in_its_unit(two):
    for over, words in (("rounds", "rounds 1 to 3"), ("time", "time 2 to 6 s"), ("bytes", "bytes 4.0 MB to 12.0 MB")):
        assert f"final best in round mean, {words} rounds" in compared(*two, over=over)


def test_what_differs_in_the_jobs_with_both_values(two):
    lines = compared(*two)
    at = lines.index("what differs in the jobs")
    assert lines[at + 1 : at + 5] == [
        "client.lr 0.01 (slow), 0.5 (fast)",
        "seed 1 (slow), 0 (fast)",
        "strategy fedavg (slow), fedprox (fast)",
        "",
    ]


def test_where_they_ran_and_runs_that_have_not_finished(tmp_path):
    one = write(tmp_path / "one.h5", [0.5], job(rounds=4), finish="interrupted", environment={"ranks": 1})
    many = write(tmp_path / "many.h5", [0.5], job(rounds=1, clock="wall"), environment={"ranks": 9})
    lines = compared(one, many)
    assert "ranks 1 (one), 9 (many)" in lines
    assert "one 0.5000 0.5000 1 - 1 of 4" in lines
    assert "note: one has not finished: it was interrupted" in lines
    assert "note: the job's clock is not the same (virtual and real): compare wall, not clock" in lines
    assert "note: wall times are of different places or versions" in lines


def test_many_runs_name_only_those_that_have_a_key(tmp_path):
    for mu in (0.1, 0.2):
        write(tmp_path / f"runs/mu{mu}.h5", [0.5], strategy={"name": "fedprox", "mu": mu})
    write(tmp_path / "runs/avg.h5", [0.5])
    lines = compared(tmp_path / "runs")
    assert "strategy.mu 0.1 (mu0.1), 0.2 (mu0.2)" in lines
    assert "strategy fedavg (avg), fedprox (mu0.1, mu0.2)" in lines


def test_labels_are_as_long_as_it_takes(tmp_path):
    paths = [tmp_path / name for name in ("a/x.h5", "b/x.h5", "b/y.h5")]
    assert labels(paths) == ["a/x", "b/x", "y"]


def test_runs_that_cannot_be_compared(tmp_path, two):
    other = write(tmp_path / "other.h5", [0.5], job(rounds=1, data={"name": "mnist"}))
    with pytest.raises(ResultError, match="tested on different data: data is digits and mnist"):
        compare([two[0], other], Console())
    with pytest.raises(ResultError, match="only .*slow.h5: give at least two"):
        compare([two[0]], Console())
    with pytest.raises(ResultError, match="never evaluated"):
        compare([two[0], write(tmp_path / "never.h5", [np.nan])], Console())


def broken(folder, kind):
    """A path of this kind beside a good file."""
    path = folder / f"{kind}.h5"
    if kind == "foreign":
        with h5py.File(path, "w") as file:
            file["data"] = 1
    elif kind == "text":
        path.write_text("no HDF5")
    elif kind == "truncated":
        write(path, [0.5] * 20)
        path.write_bytes(path.read_bytes()[:-4096])
    elif kind == "roundless":
        write(path, [], job(rounds=1))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "is not an HDF5 file"),
        ("foreign", "not a result file of hpcfl"),
        ("truncated", "truncated"),
        ("roundless", "has no rounds"),
        ("missing", "there is no file"),
    ],
)
def test_files_that_are_none(tmp_path, two, kind, words):
    with pytest.raises(ResultError, match=words) as failure:
        compare([two[0], broken(tmp_path, kind)], Console())
    assert failure.value.exit_code == 2


def test_in_a_folder_they_are_left_out_and_named(tmp_path, two):
    broken(tmp_path, "text")
    lines = compared(tmp_path)
    assert any(line.startswith("note: left out: ") and "text.h5 is not an HDF5 file" in line for line in lines)
    assert "slow 3 6.0 1.5 12.0 MB" in lines


def test_the_command_is_quick_to_load(two):
    command = [sys.executable, "-X", "importtime", "-m", "hpcfl", "compare", *map(str, two)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "what differs in the jobs" in done.stdout
    assert not re.search(r"\| +(torch|scipy|pandas)\n", done.stderr)
    command[-1] = "nothing.h5"
    done = subprocess.run(command[:1] + command[3:], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "hpcfl: error: there is no file nothing.h5\n")
