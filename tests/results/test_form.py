"""Whole HDF5 files that hold something else than a run: told in one message, whoever reads."""

import json

import h5py
import numpy as np
import pytest
from small_run import VECTOR, write_steps

from hpcfl.checkpoint.resume import look_into
from hpcfl.errors import ResultError
from hpcfl.results import open_results
from hpcfl.results.repair import repair

HUGE = {"shape": (1 << 40,), "dtype": "<f8", "chunks": True, "maxshape": (None,)}


@pytest.fixture
def spoilt(run):
    """Put something else at a place of a small run; None takes it away."""
    path, writer = run
    write_steps(writer, 1, 2)
    writer.clients(2, np.zeros(2), np.zeros(2))
    writer.step({**dict.fromkeys(("examples", "clients", "failures", "bytes_up", "bytes_down", "client_bytes_up",
                                  "client_bytes_down"), 1), "step": 3})  # fmt: skip
    writer.model(3, VECTOR, [("w", (10,), "parameter", 0)])
    writer.finish()
    writer.close()

    def spoil(place, value):
        with h5py.File(path, "r+") as file:
            if place.startswith("@"):
                file.attrs[place[1:]] = value
                return path
            if place in file:
                del file[place]
            if isinstance(value, dict):
                file.create_dataset(place, **value)
            elif value is not None:
                file[place] = value
        return path

    return spoil


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("@committed", "three", "its attribute `committed` is not the number of rows of each table"),
        ("@committed", [3, 4], "its attribute `committed`"),
        ("@committed", [-1, 0, 0], "its attribute `committed`"),
        ("@format_version", [1, 4], "invalid literal"),
        ("rounds/wall", None, "/rounds lacks wall"),
        ("rounds/wall", "text", "/rounds/wall is S"),
        ("rounds/accuracy", np.zeros((3, 2)), r"/rounds/accuracy is f\(3, 2\), which is no such column"),
        ("rounds/accuracy", np.full(3, "x", "S1"), "/rounds/accuracy is"),
        ("rounds/mine", 7, "/rounds/mine is"),
        ("events/status", None, "/events lacks status"),
        ("failures", 3, "/failures is no table"),
        ("clients/client", None, "client"),
        ("clients/examples", np.zeros(5), r"/clients/examples is f\(5,\), with 2 clients"),
        ("clients/examples", HUGE, "/clients/examples is"),
        ("clients/label", np.zeros(3), "/clients/label is"),
        ("clients/own/loss", np.zeros((1, 3)), "/clients/own/loss is"),
        ("clients/own/step", None, "step"),
    ],
)
def test_tables_that_are_none(spoilt, place, value, says):
    path = spoilt(place, value)
    before = path.read_bytes()
    with pytest.raises(ResultError, match=says):
        open_results(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ({"rounds": "many"}, "its rounds is 'many'"),
        ({"strategy": 3}, "its strategy is 3"),
        ({"data": {"name": {}}}, r"its data.name is \{\}"),
        ({"model": {"params": 3}}, "its model.params are 3"),
        ({"client": {"optimizer": {"params": []}}}, r"its client.optimizer.params are \[\]"),
        ({"client": {"models": 3}}, "its client.models are none"),
    ],
)
def test_jobs_that_are_none(spoilt, job, says):
    with open_results(spoilt("job/resolved", json.dumps(job))) as run, pytest.raises(ResultError, match=says):
        run.job  # noqa: B018


@pytest.mark.parametrize(
    ("place", "value", "asked"),
    [
        ("partition/client", "nobody", lambda run: run.partition),
        ("job/resolved", "[" * 10_000, lambda run: run.job),
        ("model/3/global/vector", np.zeros((2, 5)), lambda run: run.model()),
        ("model/3/global/vector", "text", lambda run: run.model()),
        ("model/3/global/layout", '[{"name": "w", "kind": "constant", "shape": [], "value": 1, "dtype": 7}]',
         lambda run: run.model()),
        ("model/none/global", 3, lambda run: run.models),
        ("environment/huge", HUGE, lambda run: run.environment),
    ],
)  # fmt: skip
def test_parts_that_are_none_of_ours(spoilt, place, value, asked):
    with open_results(spoilt(place, value)) as run, pytest.raises(ResultError, match="cannot read|damaged"):
        asked(run)


@pytest.mark.parametrize("place", ["rounds/step", "job/resolved", "start_time", "rounds"])
@pytest.mark.parametrize("value", [None, np.zeros(2), "text"])
def test_a_run_that_cannot_go_on_is_told(spoilt, place, value):
    path = spoilt(place, value)
    if place == "start_time" and isinstance(value, str):
        assert look_into(path).run == "text"
    else:
        with pytest.raises(ResultError, match=f"cannot resume the run at {path}"):
            look_into(path)


@pytest.mark.parametrize("cut", [0, 40, 900])
def test_a_heap_of_texts_without_sizes_keeps_nobody_waiting(spoilt, tmp_path, cut):
    path = spoilt("job/name", "small")
    whole = path.read_bytes()
    heap = whole.index(b"GCOL") + 16 + cut // 8 * 8
    path.write_bytes(whole[:heap] + bytes(4096 - 16 - cut // 8 * 8) + whole[heap + 4096 - 16 - cut // 8 * 8 :])
    before = path.read_bytes()
    for read in (
        lambda: open_results(path).job_text,
        lambda: look_into(path),
        lambda: repair(path, tmp_path / "out.h5"),
    ):
        with pytest.raises(ResultError):
            read()
    assert path.read_bytes() == before
