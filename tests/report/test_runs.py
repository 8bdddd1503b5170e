"""What comparisons take of result files: settings by the keys people write, and how those are told."""

import pytest
from written import job, write

from hpcfl.errors import ResultError
from hpcfl.report.runs import collect, differing, finished, read, require_keys, said, same, settings


def test_settings_are_the_keys_that_set_takes():
    found = settings(job({"name": "fedprox", "mu": 0.5}, rounds=3, partition={"name": "dirichlet", "beta": 0.1}))
    assert (found["strategy"], found["strategy.mu"], found["partition.beta"]) == ("fedprox", 0.5, 0.1)
    assert (found["rounds"], found["client.optimizer"], found["client.lr"]) == (3, "sgd", 0.01)
    assert not [key for key in found if "params" in key or key.endswith(".name")]


def test_tables_among_a_components_parameters_stay_whole():
    labels = {"0": [0, 1], "1": [2]}
    assert settings(job(rounds=1, partition={"name": "labels", "labels": labels}))["partition.labels"] == labels


def test_a_job_of_another_version_is_taken_as_it_is_written():
    assert settings({"gone": {"name": "x", "params": {"y": 1}}, "seed": 2}) == {"gone": "x", "gone.y": 1, "seed": 2}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("fedavg", "fedavg"),
        ("two\nlines", "two lines"),
        (0.5, "0.5"),
        (1.0, "1"),
        (1, "1"),
        (True, "true"),
        (None, "none"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_settings_are_told_as_set_takes_them(value, word):
    assert said(value) == word
    assert same(word, word)


@pytest.mark.parametrize(("word", "text", "yes"), [("0.1", "0.10", True), ("1", "1.0", True), ("fedavg", "fed", False)])
def test_numbers_may_be_written_otherwise(word, text, yes):
    assert same(word, text) is yes


def test_what_decides_no_number_is_no_difference(tmp_path):
    results = {"path": "elsewhere.h5"}
    one = read(write(tmp_path / "a.h5", [0.5], job(rounds=1, results=results, name="a")))
    other = read(write(tmp_path / "b.h5", [0.5], job("fedprox", rounds=1, name="b")))
    assert differing([one, one]) == {}
    assert differing([one, other]) == {"strategy": ["fedavg", "fedprox"]}


def test_keys_that_are_near(tmp_path):
    runs = [read(write(tmp_path / "a.h5", [0.5], {"client": {"lr": 1}, "data": {"lr": 2}}))]
    require_keys(["client.lr"], runs)
    with pytest.raises(ResultError, match="lr: no job has this key; did you mean client.lr or data.lr?"):
        require_keys(["lr"], runs)
    with pytest.raises(ResultError, match="zzz: no job has this key; the runs differ in nothing"):
        require_keys(["zzz"], runs)


def test_patterns_are_files_that_are_given(tmp_path):
    paths = [write(tmp_path / name, [0.5]) for name in ("a.h5", "b.h5")]
    runs, notes = collect([tmp_path / "*.h5"], finished)
    assert ([run.path for run in runs], notes) == (paths, [])
    write(tmp_path / "c.h5", [0.5], finish="failed")
    with pytest.raises(ResultError, match="c.h5 is of a run that has not finished"):
        collect([tmp_path / "*.h5"], finished)


def test_of_folders_what_cannot_be_taken_is_a_line(tmp_path):
    good = write(tmp_path / "runs/a.h5", [0.5])
    bad = write(tmp_path / "runs/deep/b.h5", [0.5], finish="failed")
    runs, notes = collect([tmp_path / "runs", good], finished)
    assert [run.path for run in runs] == [good, good]
    assert notes == [f"left out: {bad} is of a run that has not finished (failed)"]
    with pytest.raises(ResultError, match="has not finished"):
        collect([bad], finished)
