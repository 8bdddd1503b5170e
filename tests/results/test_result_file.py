"""What the writer puts in, the reader and plain h5py find, as the specification page says."""

import hashlib
import json
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, event, round_row, write_steps

import hpcfl.results
from hpcfl.errors import ResultError
from hpcfl.results import Writer, open_results
from hpcfl.results.format import CLIENTS as CLIENT_COLUMNS
from hpcfl.results.format import EVENTS, PARTITION, ROUNDS, STATUS

PAGE = (Path(hpcfl.results.__file__).parents[1] / "docs" / "result-file.md").read_text()


def code_blocks():
    return [block.partition("```")[0] for block in PAGE.split("```python\n")[1:]]


def test_rounds_come_back_exactly(run):
    path, writer = run
    write_steps(writer, 1, 600)  # more than one chunk
    with open_results(path) as found:
        assert set(found.rounds) == {column.name for column in ROUNDS}
        for name, values in found.rounds.items():
            assert values.tolist() == [round_row(step)[name] for step in range(1, 601)]


def test_a_missing_float_is_nan_and_a_missing_integer_an_error(run):
    path, writer = run
    row = {name: value for name, value in round_row(1).items() if name not in ("accuracy", "loss")}
    writer.step(row)
    with open_results(path) as found:
        assert np.isnan(found.rounds["accuracy"]).all()
    with pytest.raises(ValueError, match="a row lacks 'bytes_up'"):
        writer.step({name: value for name, value in round_row(2).items() if name != "bytes_up"})
    with pytest.raises(ValueError, match=r"unknown columns \['accurracy'\]"):
        writer.step(round_row(2) | {"accurracy": 1.0})
    write_steps(writer, 2, 2)
    with open_results(path) as found:
        assert found.rounds["step"].tolist() == [1, 2]


def test_events_and_failures_come_back_exactly(run):
    path, writer = run
    long = "é" * 200
    writer.step(round_row(1), [event(1, 0), event(1, 1, "failed", loss=np.nan, reason="the loss is NaN")])
    writer.step(round_row(2), [event(2, 1, "straggler"), event(2, 0, "failed", reason=long), event(2, 1, "dropped")])
    with open_results(path) as found:
        events, failures = dict(found.events), dict(found.failures)
    assert events["step"].tolist() == [1, 1, 2, 2, 2]
    assert events["client"].tolist() == [0, 1, 1, 0, 1]
    assert events["finish"].tolist() == [2.5, 2.5, 4.0, 4.0, 4.0]
    assert np.isnan(events["loss"]).tolist() == [False, True, False, False, False]
    names = list(STATUS)
    assert [names[code] for code in events["status"]] == ["ok", "failed", "straggler", "failed", "dropped"]
    assert failures["step"].tolist() == [1, 2]
    assert failures["rank"].tolist() == [2, 1]
    assert failures["reason"].tolist() == ["the loss is NaN", "é" * 128]  # 256 bytes, and no broken character


def test_job_environment_and_clients_come_back_exactly(run):
    path, writer = run
    write_steps(writer, 1, 1)
    with open_results(path) as found:
        assert found.job == JOB
        assert found.job_text == 'name = "small"\n'
        assert found.environment == {name: value for name, value in ENVIRONMENT.items() if value is not None}
        for name, values in CLIENTS.items():
            assert np.array_equal(found.clients[name], values)
        assert found.clients["client"].tolist() == [0, 1]
        assert found.clients["label"].tolist() == ["cat", "dog", "øl"]
    with h5py.File(path, "r") as file:
        assert file["job/sha256"].asstr()[()] == hashlib.sha256(file["job/resolved"][()]).hexdigest()
        assert json.loads(file["job/resolved"][()]) == JOB
        assert file["job/name"].asstr()[()] == "small"
        assert file["job/seed"][()] == 3


def test_the_partition_comes_back_exactly(run):
    path, writer = run
    write_steps(writer, 1, 1)
    with open_results(path) as found:
        assert found.partition.tolist() == OWNER.tolist()
        assert found.partition.dtype == np.int32
    with h5py.File(path, "r") as file:
        assert file["partition/client"].compression is None
        assert file["partition/client"].attrs["description"].startswith("the client that holds")


def test_text_that_is_not_utf8_is_recorded_all_the_same(tmp_path):
    with Writer(tmp_path / "run.h5") as writer:
        writer.start("", {}, {"argv": ["\udcff.toml"], "hosts": []}, {"examples": np.array([1])})
        write_steps(writer, 1, 1)
    with open_results(tmp_path / "run.h5") as found:
        assert found.environment == {"argv": ["?.toml"], "hosts": []}
        assert found.job_text == ""
        assert found.partition is None


def test_models_come_back_by_step_and_name(run):
    path, writer = run
    write_steps(writer, 1, 2)
    with open_results(path) as found, pytest.raises(ResultError, match="holds no model: the run has not kept one yet"):
        found.model()
    writer.model(1, VECTOR, LAYOUT)
    writer.model(2, VECTOR + 1, LAYOUT)
    writer.model(2, VECTOR[:2], [("w", (2,), "parameter", 0)], name="client-7")
    with open_results(path) as found:
        assert found.models == {1: ["global"], 2: ["client-7", "global"]}
        model = found.model()
        assert list(model) == [name for name, *_ in LAYOUT]
        assert model["fc.weight"].tolist() == [[1, 2], [3, 4]]
        assert np.array_equal(model["tied.weight"], model["fc.weight"])
        assert model["bn.running_mean"].tolist() == [8, 9, 10]
        assert model["bn.num_batches_tracked"].dtype == np.int64
        assert model["bn.num_batches_tracked"] == 5
        assert found.model(1)["bn.weight"].tolist() == [4, 5, 6]
        assert found.model(2, "client-7")["w"].tolist() == [0, 1]
        with pytest.raises(ResultError, match=r"no model 'global' of step 9; it holds global of step 1, client-7 of"):
            found.model(9)


def test_a_layout_that_does_not_fit_the_vector_is_refused(run):
    _, writer = run
    with pytest.raises(ValueError, match=r"the layout ends at 10, and the vector's shape is \(9,\)"):
        writer.model(1, VECTOR[:9], LAYOUT)


def test_only_a_finished_run_has_an_end(run):
    path, writer = run
    write_steps(writer, 1, 1)
    with open_results(path) as found:
        assert (found.status, found.finished, found.end_time) == ("running", False, None)
    writer.finish()
    writer.close()
    writer.close()
    with open_results(path) as found:
        assert (found.status, found.finished) == ("finished", True)
        assert datetime.fromisoformat(found.start_time) <= datetime.fromisoformat(found.end_time)
        assert datetime.fromisoformat(found.end_time).tzinfo


@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_how_a_run_ended_is_recorded(tmp_path, error, status):
    with pytest.raises(error), Writer(tmp_path / "run.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, CLIENTS)
        write_steps(writer, 1, 1)
        raise error
    with open_results(tmp_path / "run.h5") as found:
        assert (found.status, found.finished) == (status, False)


def test_what_was_open_stays_as_it_was(run):
    path, writer = run
    write_steps(writer, 1, 2)
    with open_results(path) as found:
        write_steps(writer, 3, 4)
        assert found.rounds["step"].tolist() == [1, 2]
        assert found.events["step"].tolist() == [1, 1, 2, 2]


def test_viewers_find_their_way(run):
    path, writer = run
    write_steps(writer, 1, 2)
    with h5py.File(path, "r") as file:
        assert (file.attrs["NX_class"], file.attrs["default"]) == ("NXroot", "rounds")
        rounds, clients = file["rounds"], file["clients"]
        assert (rounds.attrs["NX_class"], rounds.attrs["signal"]) == ("NXdata", "accuracy")
        assert rounds.attrs["axes"].tolist() == ["step"]
        assert rounds["step"].is_scale
        for column in ROUNDS:
            assert rounds[column.name].attrs["units"] == column.unit
            if column.name != "step":
                assert [scale.name for scale in rounds[column.name].dims[0].values()] == ["/rounds/step"]
        assert [dimension[0].name for dimension in clients["classes"].dims] == ["/clients/client", "/clients/label"]
        assert h5py.check_enum_dtype(file["events/status"].dtype) == STATUS


def test_every_group_to_draw_keeps_the_rules_of_nexus(run):
    path, writer = run
    writer.clients(1, np.array([1.0, 2.0]), np.array([0.5, 0.25]))
    write_steps(writer, 1, 2)
    writer.close()
    drawn = []

    def check(name, group):
        if group.attrs.get("NX_class") != "NXdata":
            return
        drawn.append(name)
        signal = group[group.attrs["signal"]]
        assert signal.parent == group and signal.dtype.kind in "if"
        assert all(group[other].shape == signal.shape for other in group.attrs.get("auxiliary_signals", ()))
        axes = group.attrs["axes"].tolist()
        assert [(len(group[axis]),) for axis in axes] == [(length,) for length in signal.shape]
        assert all(group[axis].shape == (len(group[axis]),) for axis in axes)

    with h5py.File(path, "r") as file:
        file.visititems(check)
        assert file[file.attrs["default"]].attrs["NX_class"] == "NXdata"
        assert {item.attrs["NX_class"] for item in file.values() if isinstance(item, h5py.Group)} == {
            "NXdata", "NXcollection",
        }  # fmt: skip
    assert drawn == ["clients", "clients/own", "rounds"]


def test_xarray_opens_every_group_to_draw(run):
    for package in ("xarray", "h5netcdf"):
        pytest.importorskip(package, reason="an analysis library that hpcfl does not need")
    import xarray

    path, writer = run
    writer.clients(1, np.array([1.0, 2.0]), np.array([0.5, 0.25]))
    write_steps(writer, 1, 2)
    writer.close()
    with xarray.open_dataset(path, group="clients", engine="h5netcdf") as clients:
        assert dict(clients.sizes) == {"client": 2, "label": 3}
        assert clients["classes"].sel(client=1).values.tolist() == [4, 0, 0]
        assert clients["delay"].attrs["units"] == "s"
    with xarray.open_dataset(path, group="rounds", engine="h5netcdf") as rounds:
        assert rounds["loss"].sel(step=2) == 0.5
    with xarray.open_dataset(path, group="events", engine="h5netcdf") as events:
        assert events["client"].values.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "column", [*ROUNDS, *EVENTS, *CLIENT_COLUMNS.values(), PARTITION], ids=lambda column: column.name
)
def test_the_page_specifies_every_column(column):
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith(f"| {column.name} |")]
    assert any(
        row[3].strip() == column.unit and row[4].strip().startswith(column.meaning) for row in rows if len(row) > 4
    ) or (column.name == "status")


def test_the_page_rebuilds_a_state_dict(run, monkeypatch):
    torch = pytest.importorskip("torch", reason="the page's code makes torch tensors")
    path, writer = run
    write_steps(writer, 1, 1)
    writer.model(1, VECTOR, LAYOUT)
    writer.close()
    monkeypatch.chdir(path.parent)
    names = {}
    exec(code_blocks()[0], names)
    module = torch.nn.ModuleDict({"bn": torch.nn.BatchNorm1d(3), "fc": torch.nn.Linear(2, 2, bias=False)})
    state = {name: values for name, values in names["state_dict"].items() if not name.startswith("tied")}
    missing = module.load_state_dict(state, strict=False)
    assert missing.unexpected_keys == []
    assert module["fc"].weight.tolist() == [[0, 1], [2, 3]]
    assert module["bn"].num_batches_tracked.item() == 5


def test_the_page_opens_the_tables(run, monkeypatch):
    for package in ("pandas", "xarray", "h5netcdf"):
        pytest.importorskip(package, reason="an analysis library that hpcfl does not need")
    path, writer = run
    write_steps(writer, 1, 3)
    writer.close()
    monkeypatch.chdir(path.parent)
    names = {}
    exec(code_blocks()[1].replace("rounds = xarray", "dataset = xarray"), names)
    assert names["rounds"]["bytes_up"].tolist() == [2**40] * 3
    assert dict(names["dataset"].sizes) == {"step": 3}
    assert names["dataset"]["accuracy"].sel(step=3) == 0.75
    assert names["dataset"]["time"].attrs["units"] == "s"
