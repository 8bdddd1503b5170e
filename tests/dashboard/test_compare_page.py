"""Runs side by side: tables of the report, curves, ready-made and saved choices."""

import pytest
from people import Person

from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.comparison import compared
from hpcfl.dashboard.pages.compare import MOST_RUNS

WEATHER = {"name": "folder", "params": {"path": "weather", "size": 32, "classes": ["cloudy", "sunny"]}}


@pytest.fixture
def viewer(person):
    return person("viewer")


def query(*names):
    return "&".join(f"run={run_id(name)}" for name in names)


def test_the_tables_are_those_of_the_report(write):
    slow, quick = write("slow", steps=2), write("quick", steps=4, strategy={"name": "fedavg", "params": {}})
    found = compared([slow, quick], None)
    rows = {name: dict(zip(found.titles, cells)) for name, cells in found.rows}
    assert found.target == 1 - 1 / 3
    assert rows["slow"]["rounds to it"].text == rows["quick"]["rounds to it"].text == "2"
    assert (rows["slow"]["final"].text, rows["slow"]["final"].leads) == ("66.7 %", False)
    assert (rows["quick"]["final"].text, rows["quick"]["final"].leads) == ("80.0 %", True)
    assert rows["slow"]["clients' traffic"].text == "320 B"
    assert found.differing["strategy"] == [("fedprox", ["slow"]), ("fedavg", ["quick"])]


def test_a_target_that_one_does_not_reach(write):
    found = compared([write("slow", steps=2), write("quick", steps=4)], 0.75)
    assert [cells[0].text for _, cells in found.rows] == ["–", "3"]


def test_runs_on_different_data_are_not_ranked(write):
    found = compared([write("a", data={"name": "digits"}), write("b", data={"name": "mnist"})], None)
    assert found.rows == []
    assert "a and b cannot be compared: they are tested on different data" in found.notes[0]


def test_the_page_and_its_curves(viewer, write):
    write("a")
    write("b", strategy={"name": "fedavg", "params": {}})
    page = viewer.get(f"/compare?{query('a', 'b')}&target=60").text
    assert "To accuracy 60.0 % of the global model" in page
    found = viewer.get(f"/compare/data?{query('a', 'b')}&what=loss&over=time").json["chart"]
    assert [one["name"] for one in found["series"]] == ["fedprox", "fedavg"]
    assert found["series"][0]["x"] == [1.5, 3, 4.5, 6]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/compare", 200),
        ("/compare?run=0123456789abcdef", 404),
        ("/compare?run=../../etc/passwd", 404),
        ("/compare?" + "&".join(f"run={number}" for number in range(MOST_RUNS + 1)), 422),
        (f"/compare?{query('a')}&target=-1", 200),
        (f"/compare?{query('a')}&target=nan", 200),
        (f"/compare/data?{query('a')}&what=path", 400),
        (f"/compare/data?{query('a')}&over=path", 400),
        ("/compare/study/cnn", 404),
    ],
)
def test_only_what_there_is_can_be_asked(viewer, write, path, code):
    write("a")
    assert viewer.get(path).status_code == code


def test_the_weather_study_is_ready_made(viewer, write):
    for seed in range(2):
        write(f"f3-{seed}", data=WEATHER, model={"name": "cnn", "params": {}}, seed=seed)
        pooled = {"name": "centralized", "params": {}}
        write(f"all-{seed}", data=WEATHER, model={"name": "cnn", "params": {}}, seed=seed, strategy=pooled)
    assert "/compare/study/cnn" in viewer.get("/compare").text
    page = viewer.get("/compare/study/cnn").text
    assert page.index("federated") < page.index("all data in one place</td>")
    assert "To accuracy 50.0 %" in viewer.get("/compare/study/cnn?target=50").text
    numbers = viewer.get(f"/compare/data?{query('f3-0', 'f3-1', 'all-0', 'all-1')}&owners=1").json["chart"]
    assert [one["name"] for one in numbers["series"]] == ["2 owners (2 seeds)", "all data (2 seeds)"]


def test_a_comparison_is_kept_and_is_its_owners_alone(app, viewer, write):
    write("a")
    write("b")
    answer = viewer.post("/compare/saved", name=" Mine ", run=[run_id("a"), run_id("b")])
    assert answer.status_code == 302
    page = viewer.get(answer.location).text
    assert "<h1>Mine</h1>" in page
    assert "Mine" in viewer.get("/profile").text
    again = viewer.post("/compare/saved", name="Mine", run=[run_id("b")])
    assert again.location == answer.location
    other = Person(app, "other", "admin")
    assert other.get(answer.location).status_code == 404
    assert other.post("/profile/comparisons/1/delete").status_code == 404
    assert viewer.get(answer.location).status_code == 200


@pytest.mark.parametrize("fields", [{"name": "", "run": "A"}, {"name": "x" * 81, "run": "A"}, {"name": "x"}])
def test_a_comparison_needs_a_name_and_runs(viewer, write, fields):
    write("a")
    fields = {key: run_id("a") if value == "A" else value for key, value in fields.items()}
    assert viewer.post("/compare/saved", **fields).status_code == 422


def test_runs_that_are_gone_are_said_to_be(viewer, write):
    path = write("b")
    write("a")
    answer = viewer.post("/compare/saved", name="Mine", run=[run_id("a"), run_id("b")])
    path.unlink()
    viewer.app.catalogue._looked = 0  # time has passed
    assert "1 of its runs is gone." in viewer.get(answer.location).text
