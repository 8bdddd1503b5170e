"""Result files and checkpoints that were damaged: a message or what is whole of them, and nobody writes to them."""

import json
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from cases import UNLIMITED, byte_changes, changed, share
from hypothesis import given
from hypothesis import strategies as st
from jobfiles import mistaken
from probes import READERS
from runs import JOBS, RICH, make_run, write_small

pytestmark = UNLIMITED

PLACES = (
    "rounds", "events", "failures", "clients", "clients/own", "clients/own/step", "job", "environment", "model",
    "partition",
    "rounds/step", "rounds/accuracy", "rounds/time", "rounds/wall", "rounds/client_bytes_up", "events/client",
    "events/status", "events/step", "events/staleness", "failures/reason", "clients/examples", "clients/classes",
    "clients/label", "clients/architecture", "clients/client", "clients/own/accuracy", "partition/client", "job/text",
    "job/resolved", "job/sha256", "environment/ranks", "environment/hosts", "start_time", "end_time", "model/12",
    "model/12/global", "model/12/global/vector", "model/12/global/layout", "environment/restarts",
    "environment/restarts/0", "environment/restarts/1", "environment/restarts/0/step", "environment/restarts/1/time",
    "environment/restarts/1/ranks", "environment/losses", "environment/losses/0", "environment/losses/0/step",
    "environment/losses/0/reason", "environment/devices", "environment/launcher", "environment/startup",
    "environment/argv", "environment/cwd", "clients/byzantine", "clients/held_out", "clients/unseen", "sharing",
    "sharing/tensor", "sharing/architectures", "metrics", "metrics/step", "metrics/value", "metrics/name",
    "metrics/text", "rounds/epsilon",
)  # fmt: skip
TEXTS = st.sampled_from([
    "", "{", "[]", "{}", "null", "7", "NaN", '{"rounds": "many"}', '{"rounds": -1, "seed": null}', '"text"', "[" * 5000,
    '{"rounds": 1e999, "strategy": 3, "data": [], "partition": null, "model": true, "client": 7}', '[{"name": 3}]',
    '[{"name": "w", "kind": "parameter", "shape": [1e9], "start": 0, "stop": 9}]', "1" * 5000, "\x1b[2J[/red]",
    "é" * 300,
    '[{"name": "w", "kind": "constant", "shape": [], "value": 1, "dtype": "O"}]',
    '{"strategy": {"name": "fedavg", "params": 3}, "data": {"name": {}}, "rounds": {}, "name": []}',
])  # fmt: skip
VALUES = TEXTS | st.sampled_from([0, -1, 2**63 - 1, 1.5, float("nan"), True])
SHAPES = st.sampled_from([(), (0,), (1,), (2,), (12,), (24,), (2, 3), (12, 2), (0, 2), (2, 0, 3)])
KINDS = st.sampled_from(["<i8", "<f8", "u1", "S4", "O", "?", "<c16", "<i4", ">f4"])
FILLS = st.sampled_from([0, 0, 1, -1, 5, 99, 2**31 - 1, 2**62, -(2**63), 0.5, float("nan"), float("inf"), "x"])
WHAT = st.sampled_from(["delete", "text", "array", "huge", "group", "link", "resize", "attribute", "value", "fill"])
ATTRIBUTES = ("committed", "status", "format", "format_version", "latest", "units", "NX_class")
SOME = st.lists(st.sampled_from([*READERS]), min_size=4, max_size=4, unique=True)
ODD_JOBS = st.tuples(
    st.just("text"), st.just("job/resolved"), mistaken(st.just(RICH)).map(json.dumps), st.just(()), KINDS,
    st.sampled_from(ATTRIBUTES),
)  # fmt: skip
ODD = st.one_of(
    *[st.tuples(WHAT, st.sampled_from(PLACES), VALUES | FILLS, SHAPES, KINDS, st.sampled_from(ATTRIBUTES))] * 3,
    ODD_JOBS,
)


def found(file: h5py.File, place: str):
    """What is there; None also for links that lead to themselves."""
    try:
        return file.get(place)
    except RuntimeError:
        return None


def fill(dataset: h5py.Dataset | None, value) -> None:
    """Let the first numbers of a dataset be odd ones."""
    if not isinstance(dataset, h5py.Dataset) or isinstance(value, str) or dataset.dtype.kind not in "iuf":
        return
    if dataset.shape is not None and dataset.size < 10_000:  # of what is huge nobody reads all
        numbers = np.array(dataset[()])
        with np.errstate(invalid="ignore"):
            numbers.flat[:2] = np.array(value).astype(dataset.dtype)
        dataset[()] = numbers


def spoil(path: Path, oddities) -> None:
    """Let a file be a whole HDF5 file that says odd things."""
    with h5py.File(path, "r+", locking=False) as file:
        for what, place, value, shape, kind, attribute in oddities:
            if what in ("attribute", "value"):
                old = found(file, place)
                owner = old if old is not None and attribute in ("units", "NX_class") else file
                owner = file.require_group("model") if attribute == "latest" else owner
                array = np.zeros(shape, kind if kind != "O" else "S9")
                owner.attrs[attribute] = array if what == "attribute" else value
                continue
            old = found(file, place)
            if what == "resize":
                if isinstance(old, h5py.Dataset) and old.chunks:
                    old.resize(
                        [
                            length if most is not None else 3 * length + 1
                            for length, most in zip(old.shape, old.maxshape)
                        ]
                    )
                continue
            if what == "fill":
                fill(old, value)
                continue
            parent = place.rpartition("/")[0]
            if isinstance(found(file, parent or "/"), h5py.Group) and file.get(place, getlink=True) is not None:
                del file[place]
            if what == "delete" or parent and not isinstance(found(file, parent), h5py.Group):
                continue
            if what == "text":
                file[place] = value
            elif what == "array":
                text = kind == "O"
                file.create_dataset(place, data=np.full(shape, "x", object) if text else np.zeros(shape, kind),
                                    dtype=h5py.string_dtype() if text else None)  # fmt: skip
            elif what == "huge":
                file.create_dataset(place, (2**40, *shape[1:]), "<f8", maxshape=(None, *shape[1:]), chunks=True)
            elif what == "group":
                file.create_group(f"{place}/inside")
            else:
                file[place] = h5py.SoftLink("/" + place) if shape else h5py.ExternalLink("other.h5", "/rounds")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The file of a small run."""
    path = tmp_path_factory.mktemp("small") / "run.h5"
    with pytest.MonkeyPatch.context() as patch:
        write_small(path, patch)
    return path


def read(forge, kind, small, folder, names):
    """Some of the readers on the run.h5 of a folder."""
    shutil.copy(small, folder / "whole.h5")
    forge(f"results, {kind}", folder, "read_results", "run.h5", names)
    shutil.rmtree(folder)


@share(0.09)
@given(byte_changes(), st.booleans(), SOME)
def test_damaged_bytes(forge, small, tmp_path_factory, changes, meant, names):
    folder = tmp_path_factory.mktemp("bytes")
    content = small.read_bytes()
    places = np.flatnonzero(np.frombuffer(content, np.uint8)).tolist() if meant else ()
    (folder / "run.h5").write_bytes(changed(content, changes, places))
    read(forge, "bytes", small, folder, names)


@share(0.1)
@given(st.lists(ODD, min_size=1, max_size=3), SOME)
def test_odd_content(forge, small, tmp_path_factory, oddities, names):
    folder = tmp_path_factory.mktemp("odd")
    shutil.copy(small, folder / "run.h5")
    spoil(folder / "run.h5", oddities)
    read(forge, "odd", small, folder, names)


@pytest.fixture(scope="module")
def runs(forge, tmp_path_factory):
    """Folders with a run to go on with."""
    made = {}
    for kind in JOBS:
        made[kind] = tmp_path_factory.mktemp(kind)
        make_run(forge, made[kind], kind)
    return made


def go_on(forge, folder, what):
    """Resume in the folder."""
    forge(f"resume, {what}", folder, "resume", str(folder / "job.toml"), str(folder / "run.h5"))
    shutil.rmtree(folder)


@share(0.03)
@given(st.sampled_from([*JOBS]), byte_changes(), st.lists(ODD, max_size=2))
def test_resume_with_a_damaged_result_file(forge, runs, tmp_path_factory, kind, changes, oddities):
    folder = tmp_path_factory.mktemp("resume") / "run"
    shutil.copytree(runs[kind], folder)
    result = folder / "run.h5"
    if oddities:
        spoil(result, oddities)
    else:
        content = result.read_bytes()
        result.write_bytes(changed(content, changes, np.flatnonzero(np.frombuffer(content, np.uint8)).tolist()))
    go_on(forge, folder, "result file")


@share(0.04)
@given(st.sampled_from([*JOBS]), st.floats(0, 1), byte_changes(), st.booleans())
def test_resume_from_damaged_checkpoints(forge, runs, tmp_path_factory, kind, which, changes, sealed):
    """`sealed`: the marker says of the damaged file that it is whole."""
    folder = tmp_path_factory.mktemp("resume") / "run"
    shutil.copytree(runs[kind], folder)
    files = sorted(folder.glob("run.h5.checkpoint/step-*/*"))
    file = files[int(which * (len(files) - 1))]
    content = file.read_bytes()
    file.write_bytes(changed(content, changes, np.flatnonzero(np.frombuffer(content, np.uint8)).tolist()))
    if sealed and file.suffix == ".h5":
        marker = file.with_name("complete.json")
        facts = json.loads(marker.read_text())
        for piece in facts["files"]:
            if piece["name"] == file.name:
                piece |= {"bytes": file.stat().st_size, "crc32": zlib.crc32(file.read_bytes())}
        marker.write_text(json.dumps(facts))
    go_on(forge, folder, "checkpoint")


FACTS = st.sampled_from(["run", "job", "step", "files", "format_version", "jobs", "time", "execution", "device",
                         "wall_s", "position", "step_s", "failed_in_a_row", "combined", "hpcfl", "format"])  # fmt: skip
ANY = st.sampled_from([None, -1, 0, 1, 2**70, 1.5, float("nan"), "", "x", [], {}, [None], {"rounds": 3}, True, "9.0"])


@share(0.02)
@given(st.sampled_from([*JOBS]), st.lists(st.tuples(FACTS, ANY, st.booleans()), min_size=1, max_size=2))
def test_resume_from_a_marker_that_says_odd_things(forge, runs, tmp_path_factory, kind, oddities):
    folder = tmp_path_factory.mktemp("resume") / "run"
    shutil.copytree(runs[kind], folder)
    for marker in folder.glob("run.h5.checkpoint/step-*/complete.json"):
        facts = json.loads(marker.read_text())
        for name, value, gone in oddities:
            facts.pop(name, None) if gone else facts.__setitem__(name, value)
        marker.write_text(json.dumps(facts))
    go_on(forge, folder, "marker")


@pytest.mark.parametrize("kind", JOBS)
def test_undamaged_runs_go_on(kind, forge, runs, tmp_path):
    shutil.copytree(runs[kind], tmp_path, dirs_exist_ok=True)
    forge.runs("resume, whole", tmp_path, "resume", str(tmp_path / "job.toml"), str(tmp_path / "run.h5"))


def test_undamaged_files_are_read(forge, small, tmp_path):
    for name in ("run.h5", "whole.h5"):
        shutil.copy(small, tmp_path / name)
    readers = [name for name in READERS if name != "plot confusion"]  # which needs a model of its job
    forge.runs("results, whole", tmp_path, "read_results", "run.h5", readers)
