"""The page of a run: its numbers as JSON, its job as text, its file."""

import h5py
import pytest

from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.charts import CHARTS
from hpcfl.results import Writer, open_results

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def viewer(person):
    return person("viewer")


def at(name="run"):
    return f"/run/{run_id(name)}"


def test_it_shows_what_ran_where_and_the_job_escaped(viewer, write):
    write(text=f'name = "{EVIL}"\n', strategy={"name": EVIL, "params": {}})
    text = viewer.get(at()).text
    assert "2, with 4 to 6 examples each" in text
    assert "2 x n1, 1 x n2" in text
    assert "&lt;script&gt;alert(" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("kind", CHARTS)
def test_numbers_come_once_until_the_file_changes(viewer, write, kind):
    write()
    first = viewer.get(f"{at()}/data/{kind}").json
    assert ("chart" in first) != ("empty" in first)
    assert (first["live"], first["status"]) == (False, "finished")
    assert viewer.get(f"{at()}/data/{kind}?since={first['stamp']}").status_code == 204
    assert viewer.get(f"{at()}/data/{kind}?since=other").json == first


def test_a_run_that_goes_on_is_read_as_far_as_it_is(viewer, write, results):
    write(steps=2, finish=None)
    assert viewer.get(f"{at()}/data/curves").json["chart"]["loss"][0]["x"] == [1, 2]
    page = viewer.get(at()).text
    assert 'data-going="yes"' in page
    assert "Download" not in page
    answer = viewer.get(f"{at()}/file")
    assert answer.status_code == 409
    assert "goes on" in answer.text
    state = viewer.get(f"{at()}/state")
    assert "running" in state.text
    assert viewer.get(f"{at()}/state", headers={"If-None-Match": state.headers["ETag"]}).status_code == 304


def test_a_run_without_a_round_has_a_page_too(viewer, results):
    with Writer(results / "run.h5") as writer:
        writer.start("", {"name": "young", "rounds": 3}, {}, {})
        assert 'data-readable="no"' in viewer.get(at()).text
        assert "empty" in viewer.get(f"{at()}/data/curves").json


def test_the_download_is_the_file(viewer, write):
    path = write("below/run")
    answer = viewer.get(f"{at('below/run')}/file")
    assert answer.data == path.read_bytes()
    assert answer.headers["Content-Disposition"] == "attachment; filename=run.h5"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("data/nothing", 404),
        ("data/../../etc/passwd", 404),
        ("data/curves?over=nothing", 400),
        ("data/gantt?by=nothing", 400),
        ("data/gantt?by=rank&part=first", 200),
    ],
)
def test_only_what_there_is_can_be_asked(viewer, write, path, code):
    write()
    assert viewer.get(f"{at()}/{path}").status_code == code


def test_messages_name_the_run_and_not_its_path(viewer, write, results):
    path = write()
    with open_results(path) as run:
        assert len(run.own) == 0
    assert str(results) not in viewer.get(f"{at()}/data/clients").text


@pytest.mark.parametrize(
    "keys",
    [
        {"client": "x"},
        {"client": {"models": 3}},
        {"data": {"name": "digits", "params": "x"}},
        {"data": {"name": "folder", "path": "weather", "params": ["x"]}},
        {"schedule": {"name": "sync", "params": "x"}},
    ],
)
def test_a_strange_job_breaks_no_page(viewer, write, keys):
    write(**keys)
    for path in ("/", "/compare", "/predict", at(), f"{at()}/state"):
        assert viewer.get(path).status_code == 200, path
    assert viewer.get(f"/compare?run={run_id('run')}").status_code == 404  # there is nothing to compare it by


def test_a_file_that_cannot_be_read_has_a_page_without_its_charts(viewer, results):
    (results / "run.h5").write_text("no HDF5")
    page = viewer.get(at()).text
    assert "This file cannot be read" in page
    assert "run.js" not in page


def test_what_cannot_be_read_is_told_without_its_place(viewer, write, results):
    with h5py.File(write(), "r+") as file:
        del file["job/text"]
    answer = viewer.get(at())
    assert answer.status_code == 422
    assert "cannot read /job/text of run.h5" in answer.text
    assert str(results) not in answer.text


def test_a_number_that_no_table_can_have_is_not_found(viewer):
    assert viewer.get(f"/compare/saved/{2**63}").status_code == 404
