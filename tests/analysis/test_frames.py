"""Runs as data frames: what the writer put in, and for many runs the keys that differ."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_run import CLIENTS, JOB, LAYOUT, OWNER, VECTOR, round_row, write_steps

import hpcfl
from hpcfl.errors import ResultError
from hpcfl.results.format import EVENTS, ROUNDS
from hpcfl.schema import JobSpec

pandas = pytest.importorskip("pandas", reason="the extra `analysis`")


def other(strategy, seed=3, **more):
    return JOB | {"strategy": strategy, "seed": seed} | more


def test_the_tables_of_a_run_come_back_exactly(write):
    run = hpcfl.Results(write())
    assert list(run.rounds) == [column.name for column in ROUNDS]
    assert run.rounds.to_dict("records") == [round_row(step) for step in range(1, 5)]
    assert list(run.events) == [column.name for column in EVENTS]
    assert run.events["client"].tolist() == [1, 0] * 4
    assert run.events["status"].tolist() == ["failed", "ok"] * 4
    assert list(run.events["status"].cat.categories) == ["ok", "failed", "straggler", "dropped", "corrupted"]
    assert run.failures["reason"].tolist() == ["no 1", "no 2", "no 3", "no 4"]
    assert list(run.clients) == ["client", "examples", "delay", "held_out", "architecture"]
    assert run.clients["architecture"].tolist() == CLIENTS["architecture"].tolist()
    assert run.classes.drop(columns="client").to_numpy().tolist() == CLIENTS["classes"].tolist()
    assert list(run.classes) == ["client", "cat", "dog", "øl"]
    assert run.own["step"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert run.own["client"].tolist() == [0, 1] * 4
    assert run.own.query("step == 4")["loss"].tolist() == [0.25, 0.5]
    assert run.own["accuracy"].tolist() == [0, 0.25] * 4


def test_the_facts_of_a_run_come_back_exactly(write):
    run = hpcfl.Results(str(write()))
    assert (run.job, run.job_text, run.environment["ranks"]) == (JOB, 'name = "small"\n', 3)
    assert (run.status, run.last_step, run.models, run.restarts) == ("finished", 4, {4: ["global"]}, [])
    assert run.start_time <= run.end_time
    assert run.partition.tolist() == OWNER.tolist()
    assert "small, finished, 4 steps" in repr(run)


def test_a_model_is_arrays_or_a_state_dict(write):
    torch = pytest.importorskip("torch")
    run = hpcfl.Results(write())
    arrays, state = run.model(4), run.state_dict()
    assert list(arrays) == list(state) == [name for name, *_ in LAYOUT]
    for name, values in arrays.items():
        assert torch.equal(state[name], torch.from_numpy(values))
    assert state["bn.num_batches_tracked"].dtype == torch.int64
    assert state["tied.weight"].data_ptr() == state["fc.weight"].data_ptr()
    module = torch.nn.Linear(2, 2, bias=False)
    module.load_state_dict({"weight": state["fc.weight"]})
    assert module.weight.flatten().tolist() == VECTOR[:4].tolist()


def test_tables_stay_as_they_were_when_the_run_goes_on(run):
    path, writer = run
    write_steps(writer, 1, 2)
    found = hpcfl.Results(path)
    write_steps(writer, 3, 5)
    assert found.rounds["step"].tolist() == [1, 2]
    assert found.events["step"].tolist() == [1, 1, 2, 2]
    assert hpcfl.Results(path).rounds["step"].tolist() == [1, 2, 3, 4, 5]
    assert len(found.own) == 0 and list(found.own)[:2] == ["step", "client"]


def test_many_runs_are_one_table_with_the_keys_that_differ(write, tmp_path):
    write("a", other({"name": "fedavg", "params": {}}, results={"path": "a.h5"}))
    write("b", other({"name": "fedprox", "params": {"mu": 0.1}}, name="other"), steps=2)
    write("c", other({"name": "fedprox", "params": {"mu": 0.1}}, seed=4, sizes=[1, 2]))
    table = hpcfl.load(str(tmp_path / "*.h5"))
    assert list(table) == ["run", "seed", "sizes", "strategy", "strategy.mu", *(column.name for column in ROUNDS)]
    assert table["run"].tolist() == ["a"] * 4 + ["b"] * 2 + ["c"] * 4
    assert table["seed"].tolist() == [3] * 6 + [4] * 4
    assert table["strategy"].tolist() == ["fedavg"] * 4 + ["fedprox"] * 6
    assert np.array_equal(table["strategy.mu"], [np.nan] * 4 + [0.1] * 6, equal_nan=True)
    assert table["sizes"].dropna().tolist() == ["[1, 2]"] * 4
    assert table["accuracy"].tolist() == [round_row(step)["accuracy"] for step in (1, 2, 3, 4, 1, 2, 1, 2, 3, 4)]
    assert table.groupby("strategy")["step"].max().to_dict() == {"fedavg": 4, "fedprox": 4}


def test_other_tables_of_many_runs(write, tmp_path):
    paths = [write("a"), write("b", JOB | {"seed": 4})]
    events = hpcfl.load(paths, "events")
    assert list(events)[:3] == ["run", "seed", "step"]
    assert events["status"].cat.categories.tolist() == ["ok", "failed", "straggler", "dropped", "corrupted"]
    counts = {"ok": 8, "failed": 8, "straggler": 0, "dropped": 0, "corrupted": 0}
    assert events["status"].value_counts().to_dict() == counts
    assert hpcfl.load(paths, "classes")["dog"].tolist() == [2, 0, 2, 0]
    with pytest.raises(
        ResultError, match="no table 'round'; there are rounds, events, failures, clients, classes, own"
    ):
        hpcfl.load(paths, "round")


def test_runs_of_one_name_are_told_apart_by_their_folder(write, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write(f"{folder}/run")
    assert set(hpcfl.load(tmp_path / "**/*.h5")["run"]) == {str(tmp_path / "a/run.h5"), str(tmp_path / "b/run.h5")}


@pytest.mark.parametrize("files", ["no/*.h5", ["run.h5", "nope.h5"], []])
def test_a_pattern_without_files_is_refused(write, monkeypatch, files):
    monkeypatch.chdir(write().parent)
    with pytest.raises(ResultError, match="there is no file no|there is no file nope|no result files were given"):
        hpcfl.load(files)


def test_a_file_that_cannot_be_read_is_named(write, tmp_path):
    write("a")
    (tmp_path / "b.h5").write_text("no")
    with pytest.raises(ResultError, match=r"b\.h5 is not an HDF5 file"):
        hpcfl.load(tmp_path / "*.h5")


def test_no_key_of_a_job_is_called_like_a_column():
    # client is a section, not a key with a value of its own
    assert not set(JobSpec.model_fields) & {column.name for column in (*ROUNDS, *EVENTS)} - {"client"}


def test_neither_torch_nor_pandas_is_imported_before_it_is_needed(write):
    code = """
        import sys
        import hpcfl
        run = hpcfl.Results(sys.argv[1])
        run.job, run.model()
        print("pandas" in sys.modules)
        run.rounds, hpcfl.load(sys.argv[1])
        print("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), write()], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_without_pandas_the_extra_is_named(write):
    code = """
        import sys
        sys.modules["pandas"] = None
        import hpcfl
        run = hpcfl.Results(sys.argv[1])
        for action in (lambda: run.rounds, lambda: hpcfl.load(sys.argv[1])):
            try:
                action()
            except hpcfl.errors.ResultError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), write()], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["tables need pandas: pip install 'hpcfl[analysis]'"] * 2
