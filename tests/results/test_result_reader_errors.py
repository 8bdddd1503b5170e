"""A file that cannot be read: clear words instead of HDF5's."""

import os

import h5py
import pytest
from small_run import VECTOR, write_steps

from hpcfl.errors import ResultError
from hpcfl.results import open_results


def refused(path):
    with pytest.raises(ResultError) as caught:
        open_results(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_no_file(tmp_path):
    assert "there is no file" in refused(tmp_path / "nope.h5")
    assert "is a directory" in refused(tmp_path)


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    assert "is a pipe or a device" in refused(tmp_path / "pipe.h5")


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("job/resolved", "{rounds: 3}", "cannot read /job/resolved of .*: Expecting property name"),
        ("job/resolved", "[1]", "cannot read /job/resolved of .*: it is no object in JSON"),
        ("model/1/global/layout", "{}", "cannot read /model/1/global/layout of .*: it is no list in JSON"),
        (
            "model/1/global/layout",
            '[{"name": "w", "kind": "parameter"}]',
            "cannot read /model/1/global/layout of .*: start",
        ),
    ],
)
def test_texts_that_are_none_of_ours(run, place, text, words):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.model(1, VECTOR, [("w", (10,), "parameter", 0)])
    writer.close()
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = text
    with open_results(path) as found, pytest.raises(ResultError, match=words):
        found.job and found.model()


def test_not_hdf5(tmp_path):
    (tmp_path / "text.h5").write_text("accuracy,loss\n")
    (tmp_path / "empty.h5").write_text("")
    assert "is not an HDF5 file" in refused(tmp_path / "text.h5")
    assert "is empty" in refused(tmp_path / "empty.h5")


def test_someone_elses_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["rounds/step"] = [1, 2]
    assert "not a result file of hpcfl" in refused(tmp_path / "other.h5")


def test_a_newer_version(run):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.close()
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "1.7"
        file["novelty"] = 1
    open_results(path).close()
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "2.0"
    assert "has format version 2.0, and this hpcfl reads 1.5" in refused(path)


def test_a_truncated_file(run):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.model(1, VECTOR, [("w", (10,), "parameter", 0)])
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "is truncated, its end is missing" in refused(path)
    path.write_bytes(whole[:50])
    refused(path)


def test_a_damaged_file(run):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:700] + bytes(2000) + whole[2700:])
    assert "is damaged" in refused(path)


def test_a_run_without_rounds(run):
    path, writer = run
    assert "has no rounds" in refused(path)
    writer.close()
    assert "has no rounds" in refused(path)


@pytest.mark.parametrize("how", ["external", "virtual", "group"])
def test_what_lies_in_another_file_is_not_read(run, tmp_path, how):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.close()
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["text"] = [b"secret"]
    with h5py.File(path, "r+") as file:
        del file["job/text"]
        if how == "external":
            file["job"].create_dataset("text", (1,), "S8", external=[(str(secret), 0, 8)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((1,), "S6")
            layout[:] = h5py.VirtualSource(secret, "text", (1,))
            file["job"].create_virtual_dataset("text", layout)
        else:
            file["job"].create_group("text")
    words = "it is a group" if how == "group" else "its bytes lie in another file"
    with open_results(path) as found, pytest.raises(ResultError, match=f"cannot read /job/text of .*: {words}"):
        _ = found.job_text
