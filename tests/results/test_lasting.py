"""Storage that fails while a run writes: nothing that was recorded is lost, and what follows comes later or is told."""

import resource
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, VECTOR, event, round_row

from hpcfl.errors import StorageError
from hpcfl.results import Lasting, Writer, open_results
from hpcfl.results.lasting import vacant

MANY = 12_000
"""Events in a step, so that a few of them take more than the room that a file has ahead."""


def record(writer: Writer, steps: range, many: int = MANY) -> None:
    """As a run does: the clients' own models, the step, the model."""
    for step in steps:
        writer.clients(step, np.full(2, 1.0 / step), np.full(2, 0.5))
        writer.step(round_row(step), [event(step, 0)] * many)
        if step % 2 == 0:
            writer.model(step, VECTOR, LAYOUT)
            writer.state(step, "momentum", VECTOR)


def check(path: Path, last: int, many: int = MANY) -> None:
    """All steps are there, once and whole."""
    with open_results(path) as found:
        steps = list(range(1, last + 1))
        for name, values in found.rounds.items():
            assert values.tolist() == [round_row(step)[name] for step in steps]
        np.testing.assert_array_equal(found.events["step"], np.repeat(steps, many))
        assert found.own["loss"][:, 0].tolist() == [np.float32(1.0 / step) for step in steps]
        assert list(found.models) == [step for step in steps if step % 2 == 0]
        for step in found.models:
            assert found.model(step)["fc.weight"].tolist() == VECTOR[:4].reshape(2, 2).tolist()


@contextmanager
def quota(size: int):
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def lasting(path: Path, said: list, **options) -> Lasting:
    writer = Lasting(path, say=said.append, retry_s=0.0, **options)
    writer.start("", JOB, ENVIRONMENT, CLIENTS)
    return writer


def test_steps_that_had_no_room_are_written_when_there_is_some(tmp_path: Path):
    said: list[str] = []
    with lasting(tmp_path / "run.h5", said) as writer:
        record(writer, range(1, 4))
        with quota(5_000_000):
            record(writer, range(4, 10))
            assert "File too large; what was recorded up to step" in writer.waiting
        record(writer, range(10, 12))
        assert not writer.waiting
        writer.finish()
    check(tmp_path / "run.h5", 11)
    assert len(said) == 2
    assert "the run goes on, and keeps what follows in memory, up to 268 MB" in said[0]
    assert said[1].endswith("run.h5 is written again: all steps up to 9 are in it")
    with open_results(tmp_path / "run.h5") as found:
        assert found.status == "finished"
        assert len(found.environment["storage"]) == 1


def test_a_full_disk_that_is_made_larger(mount):
    path, said = mount(16) / "run.h5", []
    with lasting(path, said) as writer:
        record(writer, range(1, 30))
        assert "No space left on device" in writer.waiting
        subprocess.run(["mount", "-o", "remount,size=64m", path.parent], check=True)
        record(writer, range(30, 32))
        writer.finish()
    check(path, 31)


def test_a_writer_that_does_not_last_stops_with_one_message_and_a_whole_file(mount):
    path = mount(16) / "run.h5"
    told = r"No space left on device; what was recorded up to step \d+ is readable$"
    with pytest.raises(StorageError, match=told), Writer(path) as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        record(writer, range(1, 30))
    with open_results(path) as found:
        assert found.status == "failed"
        last = len(found.rounds["step"])
    assert last > 5


@pytest.mark.parametrize("how", ["removed", "folder", "unmounted"])
@pytest.mark.parametrize("kind", [Writer, Lasting])
def test_a_file_that_is_gone_is_put_back_with_all_it_had(tmp_path: Path, mount, how: str, kind: type):
    folder = mount(64) if how == "unmounted" else tmp_path / "there"
    path, options = folder / "run.h5", {"say": print, "retry_s": 0.0} if kind is Lasting else {}
    with kind(path, **options) as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        record(writer, range(1, 5))
        if how == "unmounted":
            subprocess.run(["umount", "-l", folder], check=True)
        else:
            path.unlink()
        if how == "folder":
            folder.rmdir()
        if kind is Writer:
            with pytest.raises(StorageError, match="unmounted after step 4; what was recorded up to there lies there"):
                record(writer, range(5, 6))
        else:
            record(writer, range(5, 8))
        writer.finish()
    check(path, 4 if kind is Writer else 7)


def test_a_file_of_another_in_its_place_is_not_touched(tmp_path: Path):
    said: list[str] = []
    path = tmp_path / "run.h5"
    with lasting(path, said, second=tmp_path / "second") as writer:
        record(writer, range(1, 3))
        path.unlink()
        path.write_text("precious")
        record(writer, range(3, 6))
        assert "File exists" in writer.waiting
        writer.finish()
    assert path.read_text() == "precious"
    check(tmp_path / "second" / "run.h5", 5)
    assert writer.path == tmp_path / "second" / "run.h5"


def test_a_file_that_was_torn_is_put_back_to_its_last_step(tmp_path: Path, monkeypatch):
    said: list[str] = []
    with lasting(tmp_path / "run.h5", said) as writer:
        record(writer, range(1, 4))
        monkeypatch.setattr("hpcfl.results.writer.reserve", lambda file, more=0: None)  # as if errors came from nowhere
        with quota(2_500_000):
            record(writer, range(4, 7))  # with many attempts, of which the first and the last are told
            cause = f"cannot write {tmp_path}/run.h5: File too large; what was recorded up to step 3 is readable"
            assert writer.waiting == f"{cause}; nor again at {tmp_path}/run.h5: File too large"
            assert writer._file is None
        record(writer, range(7, 9))
        writer.finish()
    check(tmp_path / "run.h5", 8)
    with open_results(tmp_path / "run.h5") as found:
        assert [remark.partition(" ")[2] for remark in found.environment["storage"]] == [cause]


def test_more_than_the_bound_ends_the_run(tmp_path: Path):
    said: list[str] = []
    told = "the steps after it are lost, and made again by hpcfl run --resume"
    with pytest.raises(StorageError, match=told), lasting(tmp_path / "run.h5", said, bound=20_000_000) as writer:
        record(writer, range(1, 3))
        with quota(3_000_000):
            record(writer, range(3, 5))
            assert not writer.full
            record(writer, range(5, 8))
            assert "MB that could not be written" in writer.full
            writer.finish("interrupted")
    with open_results(tmp_path / "run.h5") as found:
        assert found.rounds["step"].tolist() == list(range(1, 1 + len(found.rounds["step"])))


def test_lost_ranks_wait_too_and_are_told_once(tmp_path: Path, monkeypatch):
    with lasting(tmp_path / "run.h5", []) as writer:
        record(writer, range(1, 4))
        monkeypatch.setattr("hpcfl.results.writer.reserve", lambda file, more=0: None)  # a write that tears the file
        writer.loss(1, "rank 1 died")
        writer.join(4, "n5")
        with quota(2_500_000):
            record(writer, range(4, 7))
            writer.loss(2, "rank 2 died")
            writer.join(3, "n4")
            assert writer.waiting
        record(writer, range(7, 9))
        writer.finish()
    check(tmp_path / "run.h5", 8)
    with open_results(tmp_path / "run.h5") as found:
        assert [(loss["rank"], loss["step"], loss["reason"]) for loss in found.losses] == [
            (1, 4, "rank 1 died"),
            (2, 7, "rank 2 died"),
        ]
        assert [(join["rank"], join["step"], join["host"]) for join in found.joins] == [(4, 4, "n5"), (3, 7, "n4")]


def test_a_run_that_goes_back_while_storage_fails_goes_on_there_or_ends_with_one_message(tmp_path: Path, monkeypatch):
    path = tmp_path / "run.h5"
    with lasting(path, []) as writer:
        record(writer, range(1, 4))
        with quota(5_000_000):
            record(writer, range(4, 9))
            writer.loss(1, "rank 1 died")
            assert writer.waiting
        writer.resume(2, "", JOB, ENVIRONMENT, True)
        record(writer, range(3, 6))
        monkeypatch.setattr("hpcfl.results.writer.reserve", lambda file, more=0: None)
        with quota(100_000):
            record(writer, range(6, 7))
            with pytest.raises(StorageError, match="the run cannot go back to step 2"):
                writer.resume(2, "", JOB, ENVIRONMENT, True)
        writer.finish()
    check(path, 6)
    with open_results(path) as found:
        assert [loss["rank"] for loss in found.losses] == [1]


def test_a_second_place_spares_what_lies_there(tmp_path):
    assert vacant(tmp_path / "run.h5") == tmp_path / "run.h5"
    for taken in ("run.h5", "run-2.h5"):
        (tmp_path / taken).touch()
    assert vacant(tmp_path / "run.h5") == tmp_path / "run-3.h5"
