"""What charts get is what the file says, thinned so that it looks the same."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import hpcfl.dashboard
from hpcfl.dashboard.charts import CHARTS, CURVES, POINTS, overlay, thin
from hpcfl.errors import ResultError
from hpcfl.plots.style import COLOURS
from hpcfl.results import open_results


@pytest.mark.parametrize("count", [1, 2, POINTS, POINTS + 1, 10_000])
def test_a_thinned_curve_keeps_its_ends_and_its_extremes(count):
    x, y = np.arange(count), np.random.default_rng(count).random(count)
    places, values = thin(x, y)
    assert len(places) <= POINTS
    assert {places[0], places[-1], y.argmin(), y.argmax()} <= set(places.tolist()) | {0}
    assert (np.diff(places) > 0).all()
    assert np.array_equal(values, y[places])
    if count <= POINTS:
        assert np.array_equal(places, x)


def test_a_spike_in_any_stretch_is_seen():
    for at in range(1, 10_000, 997):
        y = np.zeros(10_000)
        y[at] = 1
        assert thin(np.arange(10_000), y)[1].max() == 1


@pytest.mark.parametrize(
    ("over", "places"),
    [("round", [1, 2, 3]), ("time", [1.5, 3, 4.5]), ("wall", [0.25, 0.5, 0.75]), ("bytes", [160, 320, 480])],
)
def test_curves(write, over, places):
    with open_results(write(steps=3)) as run:
        found = CHARTS["curves"](run, over)
        for what, columns in CURVES.items():
            assert [one["name"] for one in found[what]] == list(columns.values())
            for one, column in zip(found[what], columns):
                assert one["x"] == places
                assert one["y"] == pytest.approx(run.rounds[column].tolist(), rel=1e-6)


def test_labels_staleness_jobs_and_times(write):
    with open_results(write(steps=3)) as run:
        labels, staleness, gantt, times = (CHARTS[kind](run) for kind in ("labels", "staleness", "gantt", "times"))
    assert labels == {"names": ["cat", "dog", "øl"], "counts": [[1, 4], [2, 0], [3, 0]], "count": 2}
    assert (staleness["share"], staleness["most"]) == ([1.0], 0)
    assert gantt["start"] == [1.5, 1.5, 3, 3, 4.5, 4.5]
    assert gantt["finish"] == [2.5, 2.5, 4, 4, 5.5, 5.5]
    assert (gantt["place"], gantt["rank"], gantt["lanes"]) == ([0, 1] * 3, [1, 2] * 3, [0, 1])
    assert times["parts"] == {
        "training": [0.5] * 3, "communicating": [0.25] * 3, "aggregating": [0.125] * 3, "evaluating": [0.0625] * 3,
    }  # fmt: skip
    assert times["wall"] == [0.25] * 3


def test_of_many_jobs_the_first_or_the_latest_rounds_are_drawn(write, monkeypatch):
    monkeypatch.setattr("hpcfl.analysis.timeline.MOST_JOBS", 5)
    with open_results(write(steps=4)) as run:
        assert [CHARTS["gantt"](run, part=part)["rounds"] for part in ("first", "latest")] == [(1, 2), (3, 4)]
        assert CHARTS["gantt"](run, by="rank")["lanes"] == [1, 2]


def test_every_chart_is_json_or_a_reason(write):
    for steps in (1, 3):
        with open_results(write(f"of{steps}", steps=steps)) as run:
            for draw in CHARTS.values():
                try:
                    json.dumps(draw(run), allow_nan=False)
                except ResultError as reason:
                    assert "client.test_size" in str(reason)


def test_seeds_are_one_curve_with_a_band(write):
    paths = [write(f"s{seed}", seed=seed) for seed in range(2)]
    paths.append(write("other", strategy={"name": "fedavg", "params": {}}))
    runs = [open_results(path) for path in paths]
    found = overlay(runs, "accuracy", "round")
    assert [one["name"] for one in found["series"]] == ["fedprox (2 seeds)", "fedavg"]
    band, alone = found["series"]
    assert band["low"] == band["y"] == band["high"]  # the seeds went alike
    assert "low" not in alone
    assert overlay(runs, "unseen_accuracy", "round")["without"] == []
    for run in runs:
        run.close()


def test_the_site_has_the_colours_of_the_figures():
    text = (Path(hpcfl.dashboard.__file__).parent / "static" / "charts.css").read_text("utf-8")
    light = text[: text.index('[data-theme="dark"]')]
    assert tuple(re.findall(r"--series-\d: (#\w{6});", light)) == COLOURS


def test_the_library_that_draws_is_told_with_its_licence():
    vendor = Path(hpcfl.dashboard.__file__).parent / "static" / "vendor"
    version = re.search(r"Chart\.js v([\d.]+)", (vendor / "chart.umd.min.js").read_text("utf-8"))[1]
    licence = (vendor / "chart.LICENSE.md").read_text("utf-8")
    assert f"Chart.js {version}" in licence
    assert licence.count("The MIT License") == 2  # its colours have one too
