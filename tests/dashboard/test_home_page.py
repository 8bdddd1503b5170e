"""The list of runs: filtered, searched, in pages, brought up to date, and never empty without a word."""

import os
import re
import time

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, write_steps

from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.pages.home import PER_PAGE
from hpcfl.dashboard.words import FILTERS
from hpcfl.results import Writer

RUNS = {
    "alone": {"strategy": "centralized", "data": "digits", "seed": 1},
    "deep/prox": {"strategy": {"name": "fedprox", "params": {"mu": 1}}, "data": {"name": "folder", "path": "weather"}},
    "deep/avg": {"strategy": "fedavg", "data": "digits", "seed": 12, "model": "cnn", "name": "night-study"},
}


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch):
    monkeypatch.setattr("hpcfl.dashboard.catalogue.LOOK_S", -1)


@pytest.fixture
def viewer(person):
    return person("viewer")


def listed(page):
    return [name.strip() for name in re.findall(r'<th scope="row"[^>]*>(?:<a [^>]*>)?([^<]+)', page)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"alone", "deep/prox", "deep/avg"}),
        ("strategy=fedprox", {"deep/prox"}),
        ("dataset=digits", {"alone", "deep/avg"}),
        ("dataset=folder+weather", {"deep/prox"}),
        ("seed=3", {"deep/prox"}),
        ("seed=12&dataset=digits", {"deep/avg"}),
        ("status=interrupted", {"alone"}),
        ("q=DEEP", {"deep/prox", "deep/avg"}),
        ("q=deep+cnn", {"deep/avg"}),
        ("q=night-study", {"deep/avg"}),
        ("q=weather&strategy=fedprox", {"deep/prox"}),
        ("strategy=", {"alone", "deep/prox", "deep/avg"}),
    ],
)
def test_filters_and_search(viewer, write, query, names):
    for name, keys in RUNS.items():
        write(name, finish="interrupted" if name == "alone" else "finished", **keys)
    for path in ("/", "/rows"):
        assert set(listed(viewer.get(f"{path}?{query}").text)) == names


def test_what_can_be_chosen_is_what_there_is(viewer, write):
    for name, keys in RUNS.items():
        write(name, **keys)
    page = viewer.get("/?strategy=gone").text
    chosen = {key: re.findall(r"<option[^>]*>([^<]+)", part) for key, part in
              re.findall(r'<select name="(\w+)">(.*?)</select>', page, re.DOTALL)}  # fmt: skip
    assert chosen == {
        "strategy": ["all", "centralized", "fedavg", "fedprox", "gone"],
        "dataset": ["all", "digits", "folder weather"],
        "seed": ["all", "1", "3", "12"],
        "status": ["all", "finished"],
    }


@pytest.mark.parametrize(
    ("runs", "query", "said"),
    [
        (0, "", "No runs yet"),
        (1, "q=nothing", "No run fits"),
        (1, "page=99", "1 of 1 run"),
        (1, "page=x", "1 of 1 run"),
    ],
)
def test_there_is_always_something_to_read(viewer, write, runs, query, said):
    for number in range(runs):
        write(f"run{number}")
    assert said in viewer.get(f"/?{query}").text


def test_many_runs_come_in_pages(viewer, write):
    content = write("run000", steps=1).read_bytes()
    for number in range(1, PER_PAGE + 3):
        (viewer.app.settings.results / f"run{number:03}.h5").write_bytes(content)
    first, second = viewer.get("/?q=run").text, viewer.get("/?q=run&page=2").text
    assert (len(listed(first)), len(listed(second))) == (PER_PAGE, 3)
    assert not set(listed(first)) & set(listed(second))
    assert "Page 1 of 2" in first and '/?page=2&amp;q=run"' in first
    assert "Page 2 of 2" in second and '/?page=1&amp;q=run"' in second
    assert 'data-live="/rows?page=2&amp;q=run"' in second


def test_a_list_that_has_not_changed_is_not_sent_again(viewer, write):
    write("one")
    first = viewer.get("/rows")
    again = {"If-None-Match": first.headers["ETag"]}
    assert viewer.get("/rows", headers=again).status_code == 304
    write("two")
    answer = viewer.get("/rows", headers=again)
    assert answer.status_code == 200
    assert set(listed(answer.text)) == {"one", "two"}


def test_a_run_that_goes_on_leads_and_moves(viewer, write, results):
    write("done")
    with Writer(results / "going.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        page = viewer.get("/").text
        assert listed(page)[0] == "going" and "starting" in page and "1 going on" in page
        for step in (1, 2):
            write_steps(writer, step, step)
            page = viewer.get("/rows").text
            assert f'<progress max="4" value="{step}"' in page


def test_while_the_folder_is_read_for_the_first_time_it_is_said(viewer, write, monkeypatch):
    write("one")
    monkeypatch.setattr(viewer.app.catalogue, "_bring_up_to_date", lambda: None)
    assert "Reading the runs" in viewer.get("/").text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("percent", 0.8712, "87.1 %"),
        ("percent", float("nan"), "–"),
        ("percent", None, "–"),
        ("number", 0.00012345, "0.0001234"),
        ("number", float("inf"), "inf"),
        ("duration", 3700, "1:01:40"),
        ("duration", float("nan"), "–"),
        ("stamp", "2026-01-02T03:04:05.678+01:00", "2026-01-02 03:04"),
        ("size", 1234, "1.2 kB"),
    ],
)
def test_numbers_and_times_as_they_are_written(name, value, text):
    assert FILTERS[name](value) == text


def test_moments_are_those_of_the_site():
    assert FILTERS["moment"](0) == time.strftime("%Y-%m-%d %H:%M", time.localtime(0))


def test_numbers_without_measure_are_written_all_the_same(viewer, write):
    path = write(strategy="9" * 5000, rounds=10**4000, finish=None)
    with h5py.File(path, "r+") as file:
        file["rounds/wall"][:] = np.inf
    os.utime(path, (2**40, 2**40))
    assert listed(viewer.get("/").text) == ["run"]
    assert viewer.get(f"/run/{run_id('run')}/state").status_code == 200


@pytest.mark.parametrize("query", ["endpoint=x", "_method=POST", "_external=1&_scheme=evil", "_anchor=x"])
def test_only_what_the_page_knows_comes_into_its_links(viewer, write, query):
    write()
    page = viewer.get(f"/?{query}&q=run").text
    assert 'data-live="/rows?page=1&amp;q=run"' in page


def test_while_the_folder_is_looked_through_first_no_run_is_said_to_be_gone(viewer, write, app):
    write()
    with app.catalogue._lock:
        answer = viewer.get(f"/run/{run_id('run')}")
    assert answer.status_code == 503
    assert "looked through for the first time" in answer.text
    assert viewer.get(f"/run/{run_id('run')}").status_code == 200
    assert viewer.get(f"/run/{run_id('other')}").status_code == 404
