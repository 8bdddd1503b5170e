"""When a checkpoint is due, and what happens where it cannot be written: the run goes on."""

import os
import resource
from pathlib import Path

import h5py
import pytest
import torch

from hpcfl.checkpoint.folder import seek
from hpcfl.checkpoint.keeper import Keeper, Standing
from hpcfl.core import Job, Step
from hpcfl.timelimit import TimeLimit

JOB = Job(client=0, version=0, start=0.0, finish=0.0, examples=1, epochs=1, steps=1)


FACTS = {"run": "it", "job": {}, "device": "cpu", "execution": 0}


def keeper(folder: Path, said: list, every: int = 1, asked=lambda: 0, rounds: int = 99, begin=None, **more) -> Keeper:
    (folder / "run.h5").touch()
    return Keeper(
        folder / "kept", folder / "run.h5", every, 2, rounds, facts=FACTS, pool=None, private=False,
        ahead=False, counted=lambda: {"jobs": [1], "wall_s": 0.0, "after": [1]}, limit=TimeLimit({}, 0.0),
        asked=asked, say=said.append, begin=begin, **more,
    )  # fmt: skip


def make(keeper: Keeper, steps: range, size: int = 3) -> list[bool]:
    ends = []
    for index in steps:
        state = {"w": torch.full((size,), float(index))}
        ends.append(keeper.cut(Step(index, 0.0, (JOB,) if index else (), ()), Standing(state)))
        state["w"].zero_()  # what was copied must not change with it
        keeper.write()
    keeper.wait()
    return ends


def newest(folder: Path):
    return seek(folder / "kept", "it", 99, print)


@pytest.mark.parametrize(("every", "last"), [(1, 7), (3, 6), (0, None)])
def test_due_after_so_many_steps(tmp_path: Path, every: int, last: int | None):
    make(keeper(tmp_path, [], every), range(8))
    assert (newest(tmp_path).step if last else newest(tmp_path)) == last


def test_the_end_that_is_asked_for_comes_with_a_checkpoint(tmp_path: Path):
    kept = keeper(tmp_path, [], every=0, asked=lambda: 15)
    assert make(kept, range(1)) == [True]
    assert (kept.ends, kept.last, newest(tmp_path).step) == ("SIGTERM", 0, 0)
    done = keeper(tmp_path, [], every=0, asked=lambda: 15, rounds=5)
    assert make(done, range(5, 6)) == [False]  # the run is over anyway


def test_what_was_copied_is_kept_and_the_run_goes_on_from_its_place(tmp_path: Path):
    make(keeper(tmp_path, []), range(5))
    begin = newest(tmp_path)
    assert (begin.step, begin.facts["position"]) == (4, 5)
    with h5py.File(begin.path / "server.h5") as file:
        assert file["state/w"][:].tolist() == [4.0] * 3
    again = keeper(tmp_path, [], begin=begin)
    make(again, range(4, 6))
    assert (newest(tmp_path).step, newest(tmp_path).facts["position"]) == (5, 6)


def test_a_disk_that_is_full_costs_the_checkpoint_alone(tmp_path: Path):
    said: list[str] = []
    kept = keeper(tmp_path, said)
    make(kept, range(3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        make(kept, range(3, 4), size=1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == ["checkpoint after round 3 failed: File too large; the run goes on, the last one is after round 2"]
    assert newest(tmp_path).step == 2
    make(kept, range(4, 5))
    assert newest(tmp_path).step == 4
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["step-00000002", "step-00000004"]


def spoil(folder: Path) -> None:
    """No folder can be made there any more, for root neither."""
    folder.rename(folder.with_name(f"{folder.name}.was"))
    folder.touch()


@pytest.mark.parametrize("spoilt", ["kept", "second"])
def test_either_place_may_fail_and_the_newest_is_taken(tmp_path: Path, spoilt: str):
    said: list[str] = []
    kept = keeper(tmp_path, said, second=tmp_path / "second")
    make(kept, range(3))
    for name in ("kept", "second"):
        assert seek(tmp_path / name, "it", 99, print).step == 2
        assert [path.name[-1] for path in sorted((tmp_path / name).iterdir())] == ["1", "2"]
    spoil(tmp_path / spoilt)
    make(kept, range(3, 5))
    other = {"kept": "second", "second": "kept"}[spoilt]
    assert seek(tmp_path / other, "it", 99, print).step == 4
    why = f"cannot write {tmp_path / spoilt}: Not a directory; it is in the other place"
    assert said == [f"checkpoint after round 3: {why}"]
    spoil(tmp_path / other)
    make(kept, range(5, 6))
    assert said[1:] == [
        "checkpoint after round 5 failed: Not a directory; the run goes on, the last one is after round 4"
    ]


def test_the_way_back_leads_to_the_newest_that_is_whole_in_either_place(tmp_path: Path):
    said: list[str] = []
    kept = keeper(tmp_path, said, second=tmp_path / "second")
    assert kept.newest == ""
    make(kept, range(4))
    assert kept.newest == str(tmp_path / "kept" / "step-00000003")
    with (tmp_path / "kept" / "step-00000003" / "server.h5").open("r+b") as file:
        file.truncate(100)
    assert kept.newest == str(tmp_path / "second" / "step-00000003")
    assert "server.h5 has 100 of" in said[-1]
    spoil(tmp_path / "kept")
    assert kept.newest == str(tmp_path / "second" / "step-00000003")
    begin = newest_of(tmp_path / "second")
    make(keeper(tmp_path, said, second=tmp_path / "second", begin=begin), range(3, 5))  # and on without the first
    assert newest_of(tmp_path / "second").step == 4
    spoil(tmp_path / "second")
    assert kept.newest == ""


def newest_of(folder: Path):
    return seek(folder, "it", 99, print)


def test_storage_that_hangs_does_not_stop_the_rounds(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("hpcfl.checkpoint.keeper.PATIENCE_S", 0.01)
    said: list[str] = []
    kept = keeper(tmp_path, said)
    os.remove(tmp_path / "run.h5")  # noqa: PTH107
    os.mkfifo(tmp_path / "run.h5")  # who opens it to read waits for somebody who writes
    for step in range(4):
        kept.cut(Step(step, 0.0, (JOB,) if step else (), ()), Standing({"w": torch.zeros(3)}))
        kept.write()
    assert said == ["checkpoints are left out from round 2 on, until the one before is written: slow storage"]
    (tmp_path / "run.h5").open("w").close()
    kept.wait()
    assert kept.last == -1  # a pipe cannot be synced
    os.remove(tmp_path / "run.h5")  # noqa: PTH107
    (tmp_path / "run.h5").touch()
    make(kept, range(4, 5))
    assert newest(tmp_path).step == 4


class Behind:
    """A result file that lacks steps."""

    waiting, full = "No space left on device", ""


def test_none_is_made_of_steps_that_the_result_file_lacks(tmp_path: Path):
    said: list[str] = []
    kept = keeper(tmp_path, said, results=Behind())
    assert make(kept, range(3)) == [False] * 3
    assert newest(tmp_path) is None
    kept._results.full = "300 MB that could not be written"
    assert make(kept, range(3, 4)) == [True]
    assert (kept.ends, said) == ("300 MB that could not be written", [])
