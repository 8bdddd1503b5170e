"""The runs in a folder: what is listed, in which order, how it stands, and what is not followed."""

import os
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, write_steps

from hpcfl.dashboard.catalogue import SILENT_S, Catalogue, run_id
from hpcfl.errors import ResultError
from hpcfl.results import Writer


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch):
    monkeypatch.setattr("hpcfl.dashboard.catalogue.LOOK_S", -1)


@pytest.fixture
def catalogue(results):
    return Catalogue(results)


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_empty_folder(catalogue):
    assert catalogue.runs() == []
    assert catalogue.complete


def test_what_a_list_tells_of_a_run(catalogue, write):
    write("deep/down/run")
    (run,) = catalogue.runs()
    summary = run.summary
    assert (run.name, run.status, run.live, run.readable) == ("deep/down/run", "finished", False, True)
    assert (summary.title, summary.strategy, summary.seed) == ("small", "fedprox", 3)
    assert (summary.step, summary.planned, summary.kept) == (4, 4, 1)
    assert (summary.accuracy, summary.best, summary.loss, summary.wall) == (0.8, 0.8, 0.25, 1.0)
    assert catalogue.find(run.id) == run


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "digits"}, "digits"),
        ({"name": "folder", "path": "weather"}, "folder weather"),
        ({"name": "folder", "params": {"path": "a/weather"}}, "folder weather"),
    ],
)
def test_the_dataset(catalogue, write, data, told):
    write(data=data)
    assert catalogue.runs()[0].summary.dataset == told


def test_ids_say_nothing_of_names_and_stay(catalogue, write, results):
    write("secret name")
    (run,) = catalogue.runs()
    assert run.id == run_id("secret name") == Catalogue(results).runs()[0].id
    assert run.id.isalnum() and "secret" not in run.id
    assert catalogue.find("secret name") is None


def test_live_ones_first_then_the_newest(catalogue, write):
    for seconds, name in ((300, "old"), (200, "new"), (100, "dead")):
        age(write(name, finish=None if name == "dead" else "finished"), seconds)
    age(write("alive", finish=None), 10)
    assert [(run.name, run.status) for run in catalogue.runs()] == [
        ("alive", "running"), ("dead", "stopped"), ("new", "finished"), ("old", "finished"),
    ]  # fmt: skip


def test_a_silent_run_goes_on_while_its_file_is_locked(catalogue, results):
    with Writer(results / "run.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        write_steps(writer, 1, 1)
        age(results / "run.h5", 2 * SILENT_S)
        assert catalogue.runs()[0].status == "running"
        there = (results / "run.h5").read_bytes()
    (results / "run.h5").write_bytes(there)
    age(results / "run.h5", 2 * SILENT_S)
    assert catalogue.runs()[0].status == "stopped"


def test_a_run_that_falls_silent_is_taken_for_dead_though_its_file_stays_as_it_is(catalogue, write, monkeypatch):
    write(finish=None)
    assert catalogue.runs()[0].live
    monkeypatch.setattr("hpcfl.dashboard.catalogue.SILENT_S", -1)
    assert catalogue.runs()[0].status == "stopped"


def test_a_run_is_there_before_its_first_round(catalogue, results, monkeypatch):
    with Writer(results / "run.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        (run,) = catalogue.runs()
        assert (run.status, run.live, run.readable, run.summary.title) == ("starting", True, False, "small")
        age(results / "run.h5", 2 * SILENT_S)
        assert catalogue.runs()[0].status == "starting"
        there = (results / "run.h5").read_bytes()
        write_steps(writer, 1, 2)
        assert [(run.status, run.summary.step) for run in catalogue.runs()] == [("running", 2)]
    (results / "run.h5").write_bytes(there)
    assert catalogue.runs()[0].status == "starting"
    monkeypatch.setattr("hpcfl.dashboard.catalogue.SILENT_S", -1)
    (run,) = catalogue.runs()
    assert run.status == "unreadable" and "has no rounds" in run.trouble


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_run_says_so_without_its_place(catalogue, results, content):
    (results / "x.h5").write_bytes(content)
    (run,) = catalogue.runs()
    assert (run.status, run.readable) == ("unreadable", False)
    assert "x.h5" in run.trouble and str(results) not in run.trouble


def test_a_file_is_read_again_only_if_it_has_changed(catalogue, write):
    write("same")
    changing = write("other", steps=1)
    before = {run.name: run for run in catalogue.runs()}
    changing.unlink()
    write("other", steps=3)
    after = {run.name: run for run in catalogue.runs()}
    assert after["same"] is before["same"]
    assert (before["other"].summary.step, after["other"].summary.step) == (1, 3)
    changing.unlink()
    assert [run.name for run in catalogue.runs()] == ["same"]
    assert catalogue.find(after["other"].id) is None


def test_links_hidden_files_and_checkpoints_are_left_alone(catalogue, write, results, tmp_path):
    path = write("run")
    away = tmp_path / "away.h5"
    path.rename(away)
    (results / "link.h5").symlink_to(away)
    (results / "linked").symlink_to(tmp_path)
    for name in (".hidden.h5", "run.h5.checkpoint/x.h5", ".trash/x.h5", "run.h5.new"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_bytes(away.read_bytes())
    assert catalogue.runs() == []


def test_a_run_is_seen_step_by_step_while_it_writes(catalogue, results):
    """Never a step back, never an error: whatever the file is in the middle of."""
    over = threading.Event()

    def write():
        with Writer(results / "run.h5") as writer:
            writer.start("", JOB, ENVIRONMENT, CLIENTS)
            for step in range(1, 301):
                write_steps(writer, step, step)
            writer.finish()
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = []
    while not over.is_set():
        seen += [(run.status, run.summary.step, run.summary.loss) for run in catalogue.runs()]
    thread.join()
    seen += [(run.status, run.summary.step, run.summary.loss) for run in catalogue.runs()]
    assert {status for status, _, _ in seen} <= {"starting", "running", "finished"}
    steps = [step for _, step, _ in seen]
    assert steps == sorted(steps)
    assert all(loss == 1 / step for _, step, loss in seen if step)
    assert seen[-1] == ("finished", 300, 1 / 300)


def test_while_one_looks_the_others_have_what_was_there(catalogue, write, monkeypatch):
    write("a")
    assert len(catalogue.runs()) == 1
    write("b")
    reading, go_on = threading.Event(), threading.Event()
    real = catalogue._look

    def slow():
        reading.set()
        go_on.wait(30)
        real()

    monkeypatch.setattr(catalogue, "_look", slow)
    thread = threading.Thread(target=catalogue.runs)
    thread.start()
    reading.wait(30)
    assert [run.name for run in catalogue.runs()] == ["a"]
    go_on.set()
    thread.join()
    monkeypatch.undo()
    assert len(catalogue.find(run_id("b")).name) == 1


def test_the_content_is_that_of_the_run_which_was_listed(catalogue, write, results, tmp_path):
    path = write("run")
    (run,) = catalogue.runs()
    with catalogue.content(run) as content:
        assert content.read() == path.read_bytes()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.rename(tmp_path / "away.h5")
    with pytest.raises(ResultError, match="cannot be read"):
        catalogue.content(run)
    path.symlink_to(secret)
    with pytest.raises(ResultError, match="cannot be read"):
        catalogue.content(run)
    path.unlink()
    path.write_text("another")
    with pytest.raises(ResultError, match="has just changed"):
        catalogue.content(run)


def test_what_is_no_run_comes_last(catalogue, write, results):
    age(write("old"), 100)
    (results / "x.h5").write_bytes(b"x")
    assert [run.name for run in catalogue.runs()] == ["old", "x"]


@pytest.mark.parametrize(
    "keys",
    [
        {"data": [1, 2]},
        {"strategy": 3},
        {"model": True},
        {"partition": [{"clients": 3}]},
    ],
)
def test_a_job_that_is_none_does_not_hide_the_others(catalogue, write, keys):
    write("fine")
    write("strange", **keys)
    assert {run.name: run.status for run in catalogue.runs()} == {"fine": "finished", "strange": "unreadable"}


def test_keys_of_a_strange_type_are_not_known(catalogue, write):
    write(rounds="many", seed=[1], name={"a": 1}, partition={"clients": "all"}, data={"name": "folder", "params": 1})
    (run,) = catalogue.runs()
    summary = run.summary
    assert (summary.planned, summary.seed, summary.clients, summary.dataset) == (0, None, None, "")


@pytest.mark.parametrize("spoil", ["rows", "kind", "job", "status"])
def test_a_file_that_lies_does_not_hide_the_others(catalogue, write, spoil):
    write("fine")
    with h5py.File(write("liar"), "r+") as file:
        if spoil == "rows":
            for column in file["rounds"].values():
                column.resize(10**12, 0)
            file.attrs.modify("committed", np.array([10**12, 0, 0]))
        elif spoil == "kind":
            del file["rounds/step"]
            file["rounds"].create_dataset("step", data=np.array(["x"] * 4, "S1"), maxshape=(None,), chunks=(4,))
        elif spoil == "job":
            del file["job/resolved"]
            file["job/resolved"] = "[1, 2"
        else:
            file.attrs.modify("status", np.array(b"<script>", h5py.string_dtype("utf-8", 16)))
    stands = {run.name: run.status for run in catalogue.runs()}
    assert stands["fine"] == "finished"
    assert stands["liar"] == ("running" if spoil == "status" else "unreadable")


def test_names_that_are_no_text_are_shown_all_the_same(catalogue, write, results):
    path = write("run")
    os.rename(os.fsencode(path), os.fsencode(results) + b"/\xff\n.h5")  # noqa: PTH104 - bytes
    (run,) = catalogue.runs()
    assert run.name == "\ufffd\ufffd"
    assert catalogue.find(run.id).readable


def strange_mark(file):
    file.attrs["committed"] = 1


def no_mark(file):
    file.attrs["committed"] = np.zeros(0, int)


def group_for_a_job(file):
    del file.attrs["committed"], file["job/resolved"]
    file["job"].create_group("resolved")


def secret_for_a_job(file):
    secret = Path(file.filename).with_suffix(".secret")
    secret.write_text('{"name": "secret"}')
    del file.attrs["committed"], file["job/resolved"]
    place, kind = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5t.C_S1.copy()
    place.set_external(os.fsencode(secret), 0, 18)
    kind.set_size(18)
    h5py.h5d.create(file["job"].id, b"resolved", kind, h5py.h5s.create(h5py.h5s.SCALAR), place)


@pytest.mark.parametrize("spoil", [strange_mark, no_mark, group_for_a_job, secret_for_a_job])
def test_a_file_with_strange_objects_does_not_hide_the_others(catalogue, write, spoil):
    write("fine")
    with h5py.File(write("strange"), "r+") as file:
        spoil(file)
    assert {run.name: run.status for run in catalogue.runs()} == {"fine": "finished", "strange": "unreadable"}


def test_a_file_that_cannot_be_looked_at_does_not_hide_the_others(catalogue, write, results, monkeypatch):
    write("fine")
    monkeypatch.chdir(results)
    length = len(str(results))
    while length < 3850:  # so deep that the file's own path is too long
        Path("d" * 99).mkdir()
        monkeypatch.chdir("d" * 99)
        length += 100
    Path("x" * 250 + ".h5").touch()
    assert [run.name for run in catalogue.runs()] == ["fine"]
