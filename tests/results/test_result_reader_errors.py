"""A file that cannot be read: clear words instead of HDF5's."""

import io
import os

import h5py
import pytest
from rich.console import Console
from small_run import VECTOR, write_steps

from hpcfl.errors import ResultError
from hpcfl.report import show
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


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("environment/startup", "soon", r"/environment of .*: its startup is S\(\), which is no such fact"),
        ("environment/argv", 3.5, r"/environment of .*: its argv is f\(\)"),
        ("environment/devices", [[b"cpu"]], r"/environment of .*: its devices is S\(1, 1\)"),
        ("environment/ranks", [1, 2], r"/environment of .*: its ranks is i\(2,\)"),
        ("environment/losses/0/step", None, "/environment/losses/0 of .*: it lacks step"),
        ("environment/losses/0/reason", 7, r"/environment/losses/0 of .*: its reason is i\(\)"),
        ("environment/losses", 7, "environment of "),
        ("environment/restarts/1/time", [b"now"], r"/environment/restarts/1 of .*: its time is S\(1,\)"),
        ("environment/restarts/0/step", None, "/environment/restarts/0 of .*: it lacks step"),
        ("environment/restarts/7/step", 1, "/environment/restarts/2 of "),
        ("job/resolved", '{"client": "x"}', "/job/resolved of .*: its client is 'x'"),
        ("job/resolved", '{"faults": [1]}', r"/job/resolved of .*: its faults is \[1\]"),
        ("job/resolved", '{"privacy": {"noise": [], "delta": 1}}', "its privacy.clip, privacy.noise is no number"),
    ],
)
def test_facts_that_are_none_of_ours(run, place, value, words):
    path, writer = run
    write_steps(writer, 1, 1)
    writer.loss(1, "rank 1 was lost")
    writer.close()
    with h5py.File(path, "r+") as file:
        for number in "01":
            file[f"environment/restarts/{number}/step"] = 1
            file[f"environment/restarts/{number}/time"] = "2026-01-01"
    with open_results(path) as found:
        assert [restart["step"] for restart in found.restarts] == [1, 1]
        assert found.losses[0]["reason"] == "rank 1 was lost"
    with h5py.File(path, "r+") as file:
        if place in file:
            del file[place]
        if value is not None:
            file[place] = value
    with pytest.raises(ResultError, match=f"cannot read .*{words}"):
        show(path, Console(file=io.StringIO()))


@pytest.mark.parametrize("column", ["metrics/value", "metrics/text", "clients/own/loss", "clients/own/step"])
def test_a_column_of_another_length_than_its_table(run, column):
    path, writer = run
    for step in range(1, 4):
        writer.clients(step, VECTOR[:2], VECTOR[:2])
        writer.metrics([{"step": step, "method": "fit", "client": 1, "name": "loss", "value": 0.5, "text": ""}])
        write_steps(writer, step, step)
    writer.close()
    open_results(path).close()
    with h5py.File(path, "r+") as file:
        short = file[column][:2]
        kind = file[column].dtype
        del file[column]
        file.create_dataset(column, data=short, dtype=kind)
    with pytest.raises(ResultError, match=f"/{column} cannot grow"):
        open_results(path)


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
