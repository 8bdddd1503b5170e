"""When a checkpoint is due, and what happens where it cannot be written: the run goes on."""

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


def keeper(folder: Path, said: list, every: int = 1, asked=lambda: 0, rounds: int = 99, begin=None) -> Keeper:
    (folder / "run.h5").touch()
    return Keeper(
        folder / "kept", folder / "run.h5", every, 2, rounds, facts=FACTS, pool=None, private=False,
        ahead=False, counted=lambda: {"jobs": [1], "wall_s": 0.0, "after": [1]}, limit=TimeLimit({}, 0.0),
        asked=asked, say=said.append, begin=begin,
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
