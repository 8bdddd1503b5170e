"""What is drawn is what the file says, read from the artists."""

import h5py
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from small_run import event, round_row

import hpcfl
from hpcfl import plots
from hpcfl.analysis.quantities import averaged
from hpcfl.analysis.timeline import jobs, packed
from hpcfl.errors import ResultError
from hpcfl.plots.style import colours
from hpcfl.results import Writer, open_results
from hpcfl.results.format import STATUS


def line(axes, at=0):
    return axes.lines[at].get_xdata(), axes.lines[at].get_ydata()


@pytest.mark.parametrize("over", ["round", "time", "wall", "bytes"])
@pytest.mark.parametrize("what", ["accuracy", "loss"])
def test_a_curve_has_the_rows_of_the_file(real, axes, what, over):
    getattr(plots, what)(real, axes, over=over)
    places, values = line(axes)
    rounds = real.rounds
    traffic = np.cumsum(rounds["client_bytes_up"] + rounds["client_bytes_down"])
    expected = {"round": rounds["step"], "time": rounds["time"], "wall": rounds["wall"], "bytes": traffic}
    assert np.array_equal(places, expected[over])
    assert np.array_equal(values, rounds[what])
    assert axes.get_legend() is None


def test_rounds_without_an_evaluation_are_no_points(write, axes):
    with open_results(write("a", [np.nan, 0.25, np.nan, 0.75])) as run:
        plots.accuracy(run, axes)
    assert [list(values) for values in line(axes)] == [[2, 4], [0.25, 0.75]]


def test_seeds_are_one_curve_with_a_band(write, axes):
    paths = [write(f"s{seed}", [0.5, value], seed=seed) for seed, value in enumerate((0.5, 0.75, 1.0))]
    runs = [open_results(path) for path in (*paths, write("other", [0.25, 0.5], strategy={"name": "fedprox"}))]
    plots.accuracy(runs, axes)
    assert len(axes.lines) == 2
    assert np.array_equal(line(axes)[1], [0.5, 0.75])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[band[:, 0] == 2, 1].min(), band[band[:, 0] == 2, 1].max()) == (0.5, 1.0)  # the deviation is a quarter
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no strategy (3 seeds)", "fedprox"]


def test_curves_on_different_clocks_meet_where_both_are():
    places, mean, spread = averaged(
        [(np.array([1.0, 3.0]), np.array([0.0, 1.0])), (np.array([2.0, 4.0]), np.array([1.0, 1.0]))]
    )
    assert places.tolist() == [2, 3]
    assert mean.tolist() == [0.75, 1]
    assert np.allclose(spread, [np.std([0.5, 1], ddof=1), 0])


def test_a_dot_for_every_client(real, axes):
    plots.clients(real, axes)
    drawn = axes.collections[0].get_offsets()[:, 0]
    assert np.array_equal(np.sort(drawn), np.sort(real.own["accuracy"][-1]))


def test_clients_that_keep_nothing_back_are_tested_on_the_test_set(tmp_path, axes):
    on_test = np.array([0.25, 0.75])
    with Writer(tmp_path / "a.h5") as writer:
        writer.start("", {"seed": 0}, {}, {"examples": np.array([5, 5])})
        writer.clients(1, np.full(2, np.nan), np.full(2, np.nan), on_test, on_test)
        writer.step(round_row(1), [event(1, client) for client in (0, 1)])
    with open_results(tmp_path / "a.h5") as run:
        plots.clients(run, axes)
        assert np.array_equal(axes.collections[0].get_offsets()[:, 0], on_test)
        with pytest.raises(ResultError, match="has no accuracies on own test parts: run the job with client.test_size"):
            plots.study(run, axes, own=True)


@pytest.mark.parametrize("clients", [None, 4])
def test_bubbles_have_areas_in_proportion_to_the_samples(real, axes, clients):
    plots.labels(real, axes, clients=clients)
    bubbles = axes.collections[0]
    counts = np.zeros_like(real.clients["classes"][:clients])
    places = bubbles.get_offsets().astype(int)
    sizes = bubbles.get_sizes()
    counts[places[:, 0], places[:, 1]] = np.rint(sizes / sizes.max() * real.clients["classes"][:clients].max())
    assert np.array_equal(counts, real.clients["classes"][:clients])
    assert axes.get_xlabel() == ("client" if clients is None else "client (the first 4 of 6)")


def test_bars_are_stacked_to_a_clients_samples(real, axes):
    plots.labels(real, axes, style="bars")
    heights = np.array([[bar.get_height() for bar in bars] for bars in axes.containers])
    assert np.array_equal(heights.T, real.clients["classes"])
    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
    assert tops == real.clients["examples"].tolist()


def test_staleness_is_counted(real, axes):
    plots.staleness(real, axes)
    used = real.events["status"] == STATUS["ok"]
    behind = (real.events["step"] - 1 - real.events["version"])[used]
    assert behind.max() > 0
    heights = [bar.get_height() for bar in axes.containers[0]]
    assert np.allclose(heights, np.bincount(behind) / len(behind))


@pytest.mark.parametrize("by", ["client", "rank"])
def test_a_bar_for_every_job(real, axes, by):
    plots.gantt(real, axes, by=by)
    corners = np.concatenate([[path.vertices[:4] for path in bars.get_paths()] for bars in axes.collections])
    start, finish = real.events["start"], real.events["finish"]
    assert np.allclose(sorted(zip(corners[:, 0, 0], corners[:, 1, 0])), sorted(zip(start, finish)))
    if by == "client":
        middles = np.rint(corners[:, :, 1].mean(1)).astype(int)
        assert sorted(zip(corners[:, 0, 0], middles)) == sorted(zip(start, real.events["client"]))


def test_the_legend_names_few_of_many_ranks(tmp_path, axes):
    with Writer(tmp_path / "a.h5") as writer:
        writer.start("", {"seed": 0}, {}, {"examples": np.full(99, 5)})
        writer.step(round_row(1), [event(1, client) for client in range(99)])
    with open_results(tmp_path / "a.h5") as run:
        plots.gantt(run, axes)
    assert sorted(text.get_text() for text in axes.get_legend().get_texts()) == ["rank 1", "rank 50", "rank 99"]
    assert sum(len(bars.get_paths()) for bars in axes.collections) == 99


def test_some_rounds_of_the_jobs(real):
    found = jobs(real, (2, 3))
    assert len(found.start) == np.isin(real.events["step"], (2, 3)).sum()
    with pytest.raises(ResultError, match="has no jobs in rounds 50 to 60; it has 1 to 6"):
        jobs(real, (50, 60))


@pytest.mark.parametrize(("column", "value"), [("client", 2**31 - 1), ("step", -1), ("step", 2**31 - 1)])
def test_numbers_that_no_run_has_take_no_memory(tmp_path, axes, column, value):
    with Writer(tmp_path / "a.h5") as writer:
        writer.start("", {"seed": 0}, {}, {"examples": np.full(3, 5)})
        writer.step(round_row(1), [event(1, client) for client in range(3)])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file[f"events/{column}"][0] = value
    with open_results(tmp_path / "a.h5") as run:
        plots.gantt(run, axes)
        plots.staleness(run, axes)


def test_jobs_at_the_same_time_lie_in_rows_of_their_own():
    assert packed(np.array([0, 0, 1, 2, 2.5]), np.array([2, 1, 4, 1, 1])) == [0, 1, 1, 0, 2]


def test_parts_of_a_round_are_stacked(real, axes):
    plots.times(real, axes)
    for part, bars in zip(("training", "communicating", "aggregating", "evaluating"), axes.containers):
        assert np.allclose([bar.get_height() for bar in bars], real.rounds[part])
    assert np.allclose(line(axes)[1], np.diff(real.rounds["wall"], prepend=0))


def test_the_mean_round_of_several_runs(real, write, axes):
    plots.times([real, real], axes)
    assert np.isclose(axes.containers[0][0].get_width(), real.rounds["training"].mean())
    with open_results(write("silent", [0.5])) as run, pytest.raises(ResultError, match="does not say where its time"):
        plots.times(run, axes)


def test_alone_together_and_pooled(write, axes):
    files = [
        *(
            write(f"f{seed}", [0.5, 0.7 + seed / 10], (0, 1, 2), 3, seed=seed, strategy={"name": "fedavg"})
            for seed in (0, 1)
        ),
        write("f5", [0.75], (0, 1), 2, strategy={"name": "fedavg", "params": {"mine": 1}}),
        write("c", [0.9], strategy={"name": "centralized"}),
        write("a2", [0.6], (1,), 3, schedule={"name": "owners.Alone"}),
    ]
    plots.study([open_results(path) for path in files], axes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["owner 2 of 3", "2 owners", "3 owners", "all data"]
    means = np.concatenate([bars.lines[0].get_xdata() for bars in axes.containers])
    assert means == pytest.approx([0.6, 0.75, 0.75, 0.9])
    dots = [
        sorted(found.get_offsets()[:, 0].round(9)) for found in axes.collections if isinstance(found, PathCollection)
    ]
    assert dots == [[0.6], [0.7, 0.75, 0.8], [0.9]]


def test_own_test_parts_count_by_their_size(real, axes):
    plots.study(real, axes, own=True)
    expected = np.average(real.own["accuracy"][-1], weights=real.clients["held_out"])
    assert axes.containers[0].lines[0].get_xdata()[0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["accuracy", "loss", "clients", "labels", "staleness", "gantt", "times", "study"])
def test_results_are_drawn_like_open_files(real, real_path, axes, kind):
    getattr(plots, kind)(real, axes)
    other = axes.figure.add_subplot()
    getattr(plots, kind)(hpcfl.Results(real_path), other)
    for mine, theirs in zip(axes.lines, other.lines, strict=True):
        assert np.array_equal(mine.get_xydata(), theirs.get_xydata(), equal_nan=True)
    for mine, theirs in zip(axes.patches, other.patches, strict=True):
        assert mine.get_bbox().bounds == theirs.get_bbox().bounds
    for mine, theirs in zip(axes.collections, other.collections, strict=True):
        assert np.array_equal(mine.get_offsets(), theirs.get_offsets())
        for one, another in zip(mine.get_paths(), theirs.get_paths(), strict=True):
            assert np.array_equal(one.vertices, another.vertices)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("accuracy", "has no accuracy: no round of it was evaluated"),
        ("clients", "has no accuracies of clients: run the job with client.test_size"),
        ("labels", "does not say which labels its clients hold"),
        ("staleness", "has no updates"),
        ("gantt", "has no jobs of clients"),
        ("study", "has no accuracy"),
    ],
)
def test_a_file_with_nothing_for_a_figure(write, axes, kind, message):
    with open_results(write("bare", [np.nan], trains=())) as run, pytest.raises(ResultError, match=message):
        getattr(plots, kind)(run, axes)


def test_jobs_that_last_no_time(write, axes):
    with (
        open_results(write("quick", [0.5])) as run,
        pytest.raises(ResultError, match="no job lasts any time on its clock"),
    ):
        plots.gantt(run, axes)


@pytest.mark.parametrize("count", [1, 7, 8, 10, 62])
def test_colours_differ(count):
    assert len({str(colour) for colour in colours(count)}) == count
