"""How the clients' own models did: a row per evaluation, seen once its step is, and not before."""

import h5py
import numpy as np
from small_run import round_row

from hpcfl.results import open_results

LOSS = np.array([[0.5, np.nan], [0.25, 1.5], [0.125, 2.5]])
ACCURACY = np.array([[0.75, np.nan], [0.5, 0.25], [1.0, 0.125]])


def evaluate(writer, row):
    writer.clients(row + 1, LOSS[row], ACCURACY[row])


def found_in(path):
    with open_results(path) as found:
        return {name: found.own[name].tolist() for name in found.own}


def test_they_come_back_exactly(run):
    path, writer = run
    for row in range(3):
        evaluate(writer, row)
        writer.step(round_row(row + 1))
    with open_results(path) as found:
        np.testing.assert_array_equal(found.own["loss"], LOSS)
        np.testing.assert_array_equal(found.own["accuracy"], ACCURACY)
        assert found.own["step"].tolist() == [1, 2, 3]


def test_a_row_is_not_seen_before_its_step_is(run):
    path, writer = run
    evaluate(writer, 0)
    writer.step(round_row(1))
    evaluate(writer, 1)
    assert found_in(path)["step"] == [1]
    writer.step(round_row(2))
    assert found_in(path)["accuracy"][1] == ACCURACY[1].tolist()


def test_closing_takes_away_what_no_step_followed(run):
    path, writer = run
    evaluate(writer, 0)
    writer.step(round_row(1))
    evaluate(writer, 1)
    writer.close()
    with h5py.File(path) as file:
        assert [file["clients/own"][name].shape[0] for name in ("step", "loss", "accuracy")] == [1, 1, 1]


def test_a_run_that_evaluates_none_has_none(run):
    path, writer = run
    writer.step(round_row(1))
    assert found_in(path) == {}


def test_a_viewer_finds_its_axes(run):
    path, writer = run
    evaluate(writer, 0)
    writer.step(round_row(1))
    writer.close()
    with h5py.File(path) as file:
        accuracy = file["clients/own/accuracy"]
        assert accuracy.dims[0][0] == file["clients/own/step"]
        assert accuracy.dims[1][0] == file["clients/client"]
        assert file["clients/own"].attrs["signal"] == "accuracy"
