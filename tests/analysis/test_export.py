"""What other programs get: the same bits as the result file has."""

import csv
import io
import json

import h5py
import numpy as np
import pytest
from small_run import JOB, round_row

import hpcfl
from hpcfl import analysing
from hpcfl.analysis.columns import TABLES
from hpcfl.analysis.export import FORMATS, export
from hpcfl.errors import ResultError
from hpcfl.results import open_results


def written(paths, name=None, form="csv"):
    out = io.StringIO()
    export(paths, name, form, None, out)
    return out.getvalue()


def test_csv_gives_the_same_bits(write):
    path = write(accuracy=np.nan, loss=1 / 3)
    rows = list(csv.DictReader(io.StringIO(written([path]))))
    assert [row["accuracy"] for row in rows] == [""] * 4
    with open_results(path) as run:
        for name, values in run.rounds.items():
            if name != "accuracy":
                assert [float(row[name]) for row in rows] == values.tolist()


def test_words_stand_for_codes(write):
    rows = list(csv.DictReader(io.StringIO(written([write()], "events"))))
    assert [row["status"] for row in rows] == ["failed", "ok"] * 4
    rows = list(csv.DictReader(io.StringIO(written([write("b")], "classes"))))
    assert rows == [
        {"client": "0", "cat": "1", "dog": "2", "øl": "3"},
        {"client": "1", "cat": "4", "dog": "0", "øl": "0"},
    ]


def test_several_runs_are_one_table(write):
    paths = [write("a"), write("b", JOB | {"seed": 4}, steps=2)]
    rows = list(csv.DictReader(io.StringIO(written(paths))))
    assert [(row["run"], row["seed"], row["step"]) for row in rows] == [
        ("a", "3", "1"), ("a", "3", "2"), ("a", "3", "3"), ("a", "3", "4"), ("b", "4", "1"), ("b", "4", "2"),
    ]  # fmt: skip


def test_json_has_the_whole_run(write):
    found = json.loads(written([write(accuracy=np.nan, loss=np.inf)], form="json"))
    assert found["run"] == "run" and found["job"] == JOB and found["status"] == "finished"
    assert set(TABLES) <= found.keys()
    assert found["rounds"]["accuracy"] == found["rounds"]["loss"] == [None] * 4
    assert found["rounds"]["train_loss"] == [round_row(step)["train_loss"] for step in range(1, 5)]
    assert found["events"]["status"] == ["failed", "ok"] * 4
    found = json.loads(written([write("a"), write("b")], "failures", "json"))
    assert [run["run"] for run in found] == ["a", "b"]
    assert [run["failures"]["reason"][-1] for run in found] == ["no 4"] * 2
    assert "rounds" not in found[0]


def test_json_has_no_number_for_what_is_not_finite(write):
    path = write(job=JOB | {"params": {"a": [1.0, np.inf]}, "client": {"lr": np.nan}})
    with h5py.File(path, "r+") as file:
        file["environment/startup"] = -np.inf
    found = json.loads(written([path], form="json"))
    assert found["job"]["params"] == {"a": [1.0, None]} and found["job"]["client"] == {"lr": None}
    assert found["environment"]["startup"] is None and found["environment"]["ranks"] == 3


def test_parquet_keeps_types(write, tmp_path):
    pandas = pytest.importorskip("pandas", reason="the extra `analysis`")
    pytest.importorskip("pyarrow", reason="the extra `analysis`")
    paths = [write("a"), write("b", JOB | {"seed": 4})]
    export(paths, "events", "parquet", tmp_path / "x.parquet", io.StringIO())
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "x.parquet"), hpcfl.load(paths, "events"))
    export(paths[:1], None, "parquet", tmp_path / "x.parquet", io.StringIO())
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "x.parquet"), hpcfl.Results(paths[0]).rounds)


def test_a_file_is_replaced_once_the_new_one_is_whole(write, tmp_path):
    out = tmp_path / "out.csv"
    export([write()], None, "csv", out, io.StringIO())
    text = out.read_text()
    assert text == written([tmp_path / "run.h5"])
    (tmp_path / "bad.h5").write_text("no")
    with pytest.raises(ResultError, match="bad.h5 is not an HDF5 file"):
        export([tmp_path / "run.h5", tmp_path / "bad.h5"], None, "csv", out, io.StringIO())
    assert out.read_text() == text
    assert not list(tmp_path.glob("*.new"))
    with pytest.raises(ResultError, match="cannot write .*/nowhere/out.csv: No such file or directory"):
        export([tmp_path / "run.h5"], None, "csv", tmp_path / "nowhere/out.csv", io.StringIO())


def test_a_key_of_several_types_is_words(write, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    epochs = {"a": 5, "b": [1, 10], "c": None}
    paths = [write(name, JOB | {"client": {"epochs": each}}) for name, each in epochs.items()]
    export(paths, "rounds", "parquet", tmp_path / "all.parquet", None)
    found = pandas.read_parquet(tmp_path / "all.parquet").groupby("run")["client.epochs"].first()
    assert found["a"] == "5"
    assert found["b"] == "[1, 10]"
    assert pandas.isna(found["c"])


def test_parquet_is_not_printed(write):
    with pytest.raises(ResultError, match="Parquet is not text: give a file"):
        written([write()], form="parquet")


def test_the_command_knows_every_table_and_format():
    assert (analysing.TABLES, set(analysing.FORMATS)) == (TABLES, FORMATS.keys())
