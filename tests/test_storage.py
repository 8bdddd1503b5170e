"""Runs whose storage fails: full and then enlarged, gone and then back, and checkpoints in a second place."""

import shutil
import subprocess
from pathlib import Path

import pytest
from launcher import Launcher
from test_kill import JOB, MODES, assert_all_the_same
from test_runs_mpi import lay_out, run_ok

from hpcfl.results import open_results

pytestmark = pytest.mark.slow


def given(job: Path, out: str | Path, *pairs: str, mode: str = "sync") -> list:
    return ["run", job, *(word for pair in (*MODES[mode], *pairs) for word in ("--set", pair)), "--out", out]


@pytest.mark.parametrize(("mode", "lost"), [("sync", "first"), ("async", "second")])
def test_one_place_of_the_checkpoints_is_lost(launch: Launcher, tmp_path: Path, mode: str, lost: str):
    job = lay_out(tmp_path, f"rounds = 6\n{JOB}")
    pairs = ["checkpoint.second='other'", *(["strategy='scaffold'"] if mode == "sync" else [])]
    run_ok(launch, 1, *given(job, "whole.h5", *pairs, "rounds=9", "checkpoint.resume='no'", mode=mode))
    run_ok(launch, 1, *given(job, "x.h5", *pairs, mode=mode))
    places = {"first": tmp_path / "x.h5.checkpoint", "second": tmp_path / "other" / "x.h5.checkpoint"}
    for place in places.values():
        assert sorted(path.name for path in place.iterdir()) == ["step-00000005", "step-00000006"]
    shutil.rmtree(places[lost])
    said = run_ok(launch, 1, *given(job, "x.h5", *pairs, "rounds=9", mode=mode))
    assert "goes on after round 6" in said
    assert_all_the_same(tmp_path / "whole.h5", tmp_path / "x.h5")


def test_a_disk_that_fills_up_and_is_enlarged_costs_nothing(launch: Launcher, tmp_path: Path, mount):
    small = mount(16)
    # a large model, kept often: it is missed soon that the disk is full
    pairs = ["model.hidden=[1500]", "results.on_storage_failure='continue'", "rounds=60"]
    pairs += ["checkpoint.every=0", "checkpoint.resume='no'", f"checkpoint.path='{tmp_path}/kept'"]
    job = lay_out(tmp_path, f"rounds = 6\n{JOB}")
    arguments = given(job, small / "x.h5", *pairs, "results.keep_every=20")
    run_ok(launch, 1, *given(job, "whole.h5", *pairs, "results.keep_every=20"))
    process = launch.start(1, *arguments)
    said = read_until(process, "accuracy")
    with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(1 << 12))
    said += read_until(process, "the run goes on, and keeps what follows in memory")
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    more, _ = process.communicate(timeout=150)
    assert process.returncode == 0, said + more
    assert "No space left on device" in said
    assert "x.h5 is written again: all steps up to" in more
    assert_all_the_same(tmp_path / "whole.h5", small / "x.h5")
    assert len(open_results(small / "x.h5").environment["storage"]) == 1


def read_until(process, words: str) -> str:
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said
