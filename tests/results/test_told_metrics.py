"""What a strategy with Flower's methods told: rows of /metrics, seen once their step is, and not before."""

import io
import shutil

import h5py
import numpy as np
import pytest
from rich.console import Console
from small_run import round_row

import hpcfl
from hpcfl.report.show import show
from hpcfl.results import open_results
from hpcfl.results.repair import repair


def rows(step):
    server = {"step": step, "client": -1, "method": "aggregate_fit"}
    client = {"step": step, "method": "fit", "name": "train_loss", "text": ""}
    return [
        {**server, "name": "norm", "value": step / 3, "text": ""},
        {**server, "name": "said", "value": np.nan, "text": "così " * 100},
        {**client, "client": 0, "value": 0.5 / step},
        {**client, "client": 1, "value": 1.5 / step},
    ]


def write(writer, *steps):
    for step in steps:
        writer.metrics(rows(step))
        writer.step(round_row(step))


def test_they_come_back(run):
    path, writer = run
    write(writer, 1, 2)
    with open_results(path) as found:
        assert found.metrics["step"].tolist() == [1] * 4 + [2] * 4
        assert found.metrics["method"].tolist()[:3] == ["aggregate_fit", "aggregate_fit", "fit"]
        assert found.metrics["value"].tolist()[4] == 2 / 3
        text = found.metrics["text"].tolist()[1]
        assert text == ("così " * 100).encode()[:256].decode("utf-8", "ignore")


def test_a_run_without_any_has_no_table(run):
    path, writer = run
    writer.metrics([])
    writer.step(round_row(1))
    with open_results(path) as found:
        assert dict(found.metrics) == {}
    assert "metrics" not in writer._file
    assert len(hpcfl.Results(path).metrics) == 0


def test_rows_are_not_seen_before_their_step_is_and_closing_takes_them_away(run):
    path, writer = run
    write(writer, 1)
    writer.metrics(rows(2))
    with open_results(path) as found:
        assert set(found.metrics["step"]) == {1}
    writer.close()
    with h5py.File(path) as file:
        assert {len(column) for column in file["metrics"].values()} == {4}


def test_a_run_that_goes_on_keeps_what_it_had(run, tmp_path):
    from small_run import ENVIRONMENT, JOB

    from hpcfl.results import Writer

    path, writer = run
    write(writer, 1, 2, 3)
    writer.close()
    with Writer(path, resumes=True) as again:
        again.resume(2, "", JOB, ENVIRONMENT, True)
        write(again, 3)
    assert hpcfl.Results(path).metrics["step"].tolist() == [1] * 4 + [2] * 4 + [3] * 4


def test_columns_of_a_killed_run_may_differ_in_length(run):
    path, writer = run
    write(writer, 1)
    writer.metrics(rows(2))
    writer._file["metrics/text"].resize(5, 0)
    writer._file.flush()
    with open_results(path) as found:
        assert len(found.metrics["text"]) == len(found.metrics["step"]) == 4
    killed, out = path.with_name("killed.h5"), path.with_name("repaired.h5")
    shutil.copy(path, killed)
    repair(killed, out)
    assert len(hpcfl.Results(out).metrics) == 4


def test_show_and_results_tell_them(run):
    path, writer = run
    write(writer, 1, 2)
    text = io.StringIO()
    show(path, Console(file=text, width=120))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert ["aggregate_fit", "norm", "2", "0.666667"] in lines
    assert ["fit", "train_loss", "2", "0.5", "(0.25", "to", "0.75,", "2", "clients)"] in lines
    frame = hpcfl.Results(path).metrics
    assert frame[frame.client == 1].value.tolist() == pytest.approx([1.5, 0.75])
    assert hpcfl.load(path, "metrics").equals(frame.assign(run="run")[["run", *frame.columns]])
