"""A file that cannot be written: one clear message, and nothing that was there before is lost."""

import os
from pathlib import Path

import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, write_steps

from hpcfl.errors import ResultError
from hpcfl.results import Writer, open_results


def fill(writer, steps):
    writer.start("", JOB, ENVIRONMENT, CLIENTS)
    write_steps(writer, 1, steps)
    writer.finish()


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_folders_are_made(tmp_path):
    with Writer(tmp_path / "a" / "b" / "run.h5") as writer:
        fill(writer, 1)
    assert names(tmp_path / "a" / "b") == ["run.h5"]


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("precious")
    with pytest.raises(ResultError, match=r"run.h5 exists .* --set results.overwrite=true"):
        Writer(path)
    with Writer(path, overwrite=True):
        assert path.read_text() == "precious"  # a run that is not started replaces nothing
    assert path.read_text() == "precious"
    assert names(tmp_path) == ["run.h5"]
    with Writer(path, overwrite=True) as writer:
        fill(writer, 2)
    with open_results(path) as found:
        assert found.rounds["step"].tolist() == [1, 2]
    assert names(tmp_path) == ["run.h5"]


def test_a_file_that_appears_in_the_meantime_is_kept(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(ResultError, match="exists and is not overwritten"), Writer(path) as writer:
        path.write_text("precious")
        fill(writer, 1)
    assert path.read_text() == "precious"
    assert names(tmp_path) == ["run.h5"]


def test_two_runs_cannot_create_the_same_file(tmp_path):
    with Writer(tmp_path / "run.h5"), pytest.raises(ResultError, match=r"cannot write .*run.h5"):
        Writer(tmp_path / "run.h5")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_file_is_refused(tmp_path, overwrite):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResultError, match=r"is a directory; --out takes a file's name, say .*run.h5"):
        Writer(tmp_path, overwrite=overwrite)
    with pytest.raises(ResultError, match="pipe is not a regular file"):
        Writer(tmp_path / "pipe", overwrite=overwrite)
    with pytest.raises(ResultError, match="file is not a folder"):
        Writer(tmp_path / "file" / "run.h5", overwrite=overwrite)
    with pytest.raises(ResultError, match="Not a directory"):
        Writer(tmp_path / "file" / "deeper" / "run.h5", overwrite=overwrite)
    with pytest.raises(ResultError, match="File name too long"):
        Writer(tmp_path / ("x" * 300), overwrite=overwrite)


def test_a_folder_that_cannot_be_made_is_refused():
    # holds for root too, whom permissions do not stop
    with pytest.raises(
        ResultError, match=r"cannot write /proc/hpcfl/run.h5: No such file or directory; choose another --out"
    ):
        Writer(Path("/proc/hpcfl/run.h5"))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ResultError, match="Permission denied; choose another --out"):
        Writer(tmp_path / "run.h5")


def test_too_little_space_is_known_before_the_run(tmp_path):
    with pytest.raises(
        ResultError, match=r"needs about 1,000,000,\d+ MB and its file system has [\d,]+ MB free; make room"
    ):
        Writer(tmp_path / "run.h5", expected_bytes=10**15)
    assert names(tmp_path) == []
