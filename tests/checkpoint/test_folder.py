"""Which checkpoint is taken: the newest of this run that is whole."""

import json
from pathlib import Path

import pytest

from hpcfl.checkpoint.folder import clear, mark, place, prune, require_room, seal, seek
from hpcfl.errors import ResultError

RUN = "2026-11-24T08:00:00.000+00:00"
FACTS = {
    "job": {}, "device": "cpu", "execution": 0, "jobs": [1, 2], "wall_s": 1.5, "time": 3.0, "position": 2,
    "failed_in_a_row": 0, "combined": True, "step_s": 0.1,
}  # fmt: skip


def make(folder: Path, step: int, run: str = RUN, **facts) -> Path:
    """A checkpoint with two files."""
    path = place(folder, step)
    path.mkdir(parents=True)
    pieces = []
    for name in ("server.h5", "rank-1.h5"):
        (path / f"{name}.part").write_bytes(f"{name} of step {step}".encode() * 100)
        pieces.append(seal(path / f"{name}.part", path / name))
    mark(path, {**FACTS, "step": step, "run": run, **facts}, pieces)
    return path


def found(folder: Path, last_step: int = 9) -> tuple[int | None, list[str]]:
    said: list[str] = []
    checkpoint = seek(folder, RUN, last_step, said.append)
    return (checkpoint.step if checkpoint else None), said


def test_the_newest_is_taken(tmp_path: Path):
    assert found(tmp_path) == (None, [])
    for step in (2, 4, 6):
        make(tmp_path, step)
    assert found(tmp_path) == (6, [])


def cut_short(path: Path) -> None:
    whole = (path / "rank-1.h5").read_bytes()
    (path / "rank-1.h5").write_bytes(whole[:-50])


def flip(path: Path) -> None:
    whole = bytearray((path / "server.h5").read_bytes())
    whole[70] ^= 1
    (path / "server.h5").write_bytes(whole)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_short, "rank-1.h5 has 1,850 of 1,900 bytes; the one before it is taken"),
        (flip, "server.h5 is damaged (its checksum differs); the one before it is taken"),
        (lambda path: (path / "server.h5").unlink(), "server.h5 is missing; the one before it is taken"),
        (lambda path: (path / "complete.json").write_text('{"format'), "complete.json is damaged"),
        (lambda path: (path / "complete.json").write_text("[]"), "complete.json is damaged"),
        (lambda path: (path / "complete.json").unlink(), None),
    ],
)
def test_one_that_is_not_whole_is_passed_over_in_one_line(tmp_path: Path, damage, said: str | None):
    make(tmp_path, 4)
    damage(make(tmp_path, 6))
    step, lines = found(tmp_path)
    assert step == 4
    assert len(lines) == (said is not None)
    assert all(said in line and "step-00000006" in line for line in lines)


@pytest.mark.parametrize(
    "odd",
    [
        {"job": []}, {"step": 6.5}, {"step": -6}, {"time": "3"}, {"time": float("nan")}, {"jobs": [1, None]},
        {"jobs": [-1]},
        {"combined": 1}, {"execution": True}, {"position": None}, {"files": [{"name": "../x", "bytes": 0, "crc32": 0}]},
        {"files": [None]}, {"format_version": 1}, {"step_s": 10**400},
    ],
)  # fmt: skip
def test_a_marker_that_says_something_else_is_damaged(tmp_path: Path, odd):
    make(tmp_path, 4)
    marker = make(tmp_path, 6) / "complete.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), **odd}))
    step, (line,) = found(tmp_path)
    assert step == 4
    assert "step-00000006: complete.json is damaged" in line


def test_one_of_another_run_or_beyond_the_result_file_is_not_taken(tmp_path: Path):
    make(tmp_path, 3)
    make(tmp_path, 5)
    make(tmp_path, 8, run="another")
    assert found(tmp_path) == (5, [])
    step, said = found(tmp_path, last_step=4)
    assert step == 3
    assert "the result file ends after round 4" in said[0]


def test_a_newer_format_is_refused(tmp_path: Path):
    path = make(tmp_path, 3) / "complete.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": "2.0"}))
    with pytest.raises(ResultError, match=r"has format version 2\.0, and this hpcfl reads 1\.0"):
        found(tmp_path)


def test_the_newest_few_are_kept(tmp_path: Path):
    for step in (1, 2, 3, 4):
        make(tmp_path, step)
    (place(tmp_path, 2) / "complete.json").unlink()
    place(tmp_path, 5).mkdir()  # in the making
    prune(tmp_path, 2)
    assert [path.name[-1] for path in sorted(tmp_path.iterdir())] == ["3", "4", "5"]
    clear(tmp_path, after=3)
    assert [path.name[-1] for path in sorted(tmp_path.iterdir())] == ["3"]
    clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_room(tmp_path: Path):
    require_room(tmp_path / "there", 1000)
    assert not (tmp_path / "there").exists()
    with pytest.raises(ResultError, match="they need about 1,000,000,000,000 MB and its file system has"):
        require_room(tmp_path / "there", 10**18)
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match="cannot write checkpoints to .*: Not a directory; choose another"):
        require_room(tmp_path / "file/there", 1000)
