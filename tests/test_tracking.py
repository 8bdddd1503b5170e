"""Curves in Weights & Biases and TensorBoard: the values of /rounds in both, and no way to break a run."""

import json
import os
import signal
import struct
import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from launcher import Launcher

from hpcfl import tracking
from hpcfl.errors import JobError
from hpcfl.results import open_results
from hpcfl.schema import JobSpec

JOB = """
name = "curves"
rounds = 3
data = "digits"
model = "mlp"
[server]
evaluate_every = 2              # NaN in the first round
[tracking]
wandb = {project = "fl", name = "run-1", mode = "offline", group = "g", tags = ["a", "b"]}
tensorboard = "runs"
"""
OFF = ["--set", "tracking.wandb=false", "--set", "tracking.tensorboard=false"]
LINE = "tracking: wandb stopped: RuntimeError: no luck; the run goes on without it"
STUB = """
class Run:
    disabled = False
    def log(self, values, step): ...
    def finish(self, exit_code): ...
def Settings(**given): return given
def setup(settings):
    from types import SimpleNamespace
    return SimpleNamespace(settings=SimpleNamespace(mode="online"))
def init(project=None, name=None, mode=None, settings=None, config=None): return Run()
"""
FAIL = "def fail(*_, **__): raise RuntimeError('no luck\\n and more')\n"
BROKEN = {"init": "init = fail", "log": "Run.log = fail", "finish": "Run.finish = fail"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The job run with both trackers, and without any."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "job.toml").write_text(JOB)
    launch = Launcher(folder)
    launch.environ["WANDB_DIR"] = str(folder)
    done = [
        launch(1, "run", "job.toml", "--out", "tracked.h5"),
        launch(1, "run", "job.toml", "--out", "plain.h5", *OFF),
    ]
    assert [run.returncode for run in done] == [0, 0], done
    tracked, plain = (open_results(folder / f"{name}.h5") for name in ("tracked", "plain"))
    return SimpleNamespace(folder=folder, said=done[0], tracked=tracked, plain=plain)


def spec(**given: object) -> JobSpec:
    return JobSpec.parse({"name": "job", "rounds": 1, "data": "digits", "tracking": given}, "job.toml")


def records(path: Path):
    """What wandb wrote: a log in LevelDB's format, blocks of 32 KiB with records that may go over their ends."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = path.read_bytes(), 7, b""
    while len(data) - at >= 7:
        if (left := -at % 32768) and left < 7:
            at += left
        _, size, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(record)
            record = b""


def finite(results) -> list[dict]:
    """The rows of /rounds without what is NaN."""
    rounds = {name: values.tolist() for name, values in results.rounds.items()}
    rows = [dict(zip(rounds, row)) for row in zip(*rounds.values())]
    return [{name: value for name, value in row.items() if value == value} for row in rows]


def test_wandb_has_the_rows_and_the_job(runs: SimpleNamespace):
    (path,) = runs.folder.glob("wandb/offline-run-*/run-*.wandb")
    found = list(records(path))
    (run,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name, run.run_group, list(run.tags)) == ("fl", "run-1", "g", ["a", "b"])
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config.pop("_wandb") is not None
    assert config == runs.tracked.job
    logged = [
        {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    assert [row["_step"] for row in logged] == [1, 2, 3]
    rows = finite(runs.tracked)
    assert "accuracy" not in rows[0]
    for row, kept in zip(logged, rows):
        assert {name: value for name, value in row.items() if name[0] != "_"} == {
            name: value for name, value in kept.items() if name != "step"
        }
    (ending,) = (record.exit for record in found if record.WhichOneof("record_type") == "exit")
    assert ending.exit_code == 0


def test_tensorboard_has_the_rows(runs: SimpleNamespace):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(runs.folder / "runs/curves"))
    events.Reload()
    rows = finite(runs.tracked)
    names = {name for row in rows for name in row} - {"step"}
    assert set(events.Tags()["scalars"]) == names
    for name in names:
        logged = {event.step: event.value for event in events.Scalars(name)}
        assert logged == {row["step"]: float(np.float32(row[name])) for row in rows if name in row}


def test_the_model_is_the_same_with_and_without(runs: SimpleNamespace):
    tracked, plain = runs.tracked.model(), runs.plain.model()
    assert all(np.array_equal(tracked[name], plain[name]) for name in plain)
    np.testing.assert_array_equal(runs.tracked.rounds["accuracy"], runs.plain.rounds["accuracy"])


def test_the_terminal_belongs_to_the_progress(runs: SimpleNamespace):
    assert runs.said.stderr == ""
    assert all(line.startswith(("round ", "results: ", "look into it: ")) for line in runs.said.stdout.splitlines())


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_broken_tracker_is_one_line_and_the_run_goes_on(launch: Launcher, tmp_path: Path, ranks: int):
    hang = "\nimport atexit, threading\natexit.register(threading.Event().wait)"
    (tmp_path / "wandb.py").write_text(STUB + FAIL + BROKEN["log"] + hang)
    launch.environ["PYTHONPATH"] = f"{tmp_path}:{launch.environ.get('PYTHONPATH', '')}"
    done = launch(ranks, "run", "--set", "rounds=3", "--set", "tracking.wandb=true", "--out", "x.h5")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if "tracking" in line] == [LINE]
    assert open_results(tmp_path / "x.h5").finished


def test_wandb_s_own_process_may_die(launch: Launcher, tmp_path: Path):
    given = ["--set", "rounds=10", "--set", "tracking.wandb.mode=offline", "--out", "x.h5"]
    process = launch.start(1, "run", *given)
    while not list(tmp_path.glob("wandb/offline-run-*/*.wandb")):
        assert process.poll() is None
    (core,) = wandb_cores(process.pid)
    os.kill(core, signal.SIGKILL)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert said.count("tracking: wandb stopped: ") == 1
    assert "Traceback" not in said
    assert open_results(tmp_path / "x.h5").finished


def wandb_cores(parent: int) -> list[int]:
    """The processes that wandb started for the process `parent`."""
    children = [Path(path).read_text().split() for path in Path(f"/proc/{parent}/task").glob("*/children")]
    found = {int(pid) for pids in children for pid in pids}
    return [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().startswith("wandb-core")]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a module wandb on the path: the stub with something changed."""

    def write(change: str) -> None:
        (tmp_path / "wandb.py").write_text(STUB + FAIL + change)
        monkeypatch.delitem(sys.modules, "wandb", raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    yield write
    sys.modules.pop("wandb", None)


@pytest.mark.parametrize("where", BROKEN)
def test_whatever_a_tracker_raises_is_told_once(stub, where: str):
    stub(BROKEN[where])
    said = []
    with tracking.Trackers(spec(wandb=True), said.append) as trackers:
        for step in (1, 2, 3):
            trackers.step({"step": step, "accuracy": 0.5})
    assert said == [LINE]


@pytest.mark.parametrize("where", BROKEN)
def test_a_tracker_that_hangs_is_left(stub, monkeypatch: pytest.MonkeyPatch, where: str):
    stub(f"import tracking_gate\ndef fail(*_, **__): tracking_gate.opened.wait()\n{BROKEN[where]}")
    gate = SimpleNamespace(opened=Event())
    monkeypatch.setitem(sys.modules, "tracking_gate", gate)
    monkeypatch.setattr(tracking, "CLOSE_S", 0.2)
    said = []
    with tracking.Trackers(spec(wandb=True), said.append) as trackers:
        trackers.step({"step": 1, "accuracy": 0.5})
    gate.opened.set()
    for desk in trackers._desks:
        desk.join()
    assert said == ["tracking: wandb is not done after 0.2 s; the run goes on without it"]


def test_a_failed_run_is_told_to_wandb(stub):
    stub("codes = []\nRun.finish = lambda self, exit_code: codes.append(exit_code)")
    with pytest.raises(ZeroDivisionError), tracking.Trackers(spec(wandb=True), print):
        raise ZeroDivisionError
    assert sys.modules["wandb"].codes == [1]


def test_runs_of_one_name_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with tracking.Trackers(spec(tensorboard=True), print) as trackers:
            trackers.step({"step": 1, "accuracy": 0.5})
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["job", "job-2"]


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    said = []
    with tracking.Trackers(spec(tensorboard=str(tmp_path / "file")), said.append) as trackers:
        trackers.step({"step": 1, "accuracy": 0.5})
    (line,) = said
    assert line.startswith("tracking: tensorboard stopped: ")


@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_missing_package_is_one_message_before_any_rank_trains(
    launch: Launcher, tmp_path: Path, package: str, ranks: int
):
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no', name={package!r})")
    launch.environ["PYTHONPATH"] = f"{tmp_path}:{launch.environ.get('PYTHONPATH', '')}"
    done = launch(ranks, "run", "--set", f"tracking.{package}=true", "--out", "x.h5")
    needs = f"tracking.{package}: needs {package}, which is not installed: pip install 'hpcfl[{package}]'"
    assert done.returncode == 2 or (ranks > 1 and done.returncode)
    assert done.stderr.count("hpcfl: error:") == 1
    assert needs in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize(
    "lay, said",
    [
        (lambda path: path.mkdir(), "needs wandb, which is not installed"),  # ./wandb, left by earlier runs
        (lambda path: path.with_suffix(".py").write_text("1 / 0"), "cannot be imported (ZeroDivisionError: division"),
    ],
    ids=["a folder", "a broken package"],
)
def test_what_only_looks_like_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay, said: str):
    lay(tmp_path / "wandb")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(JobError) as caught:
        tracking.require(spec(wandb=True).tracking)
    sys.modules.pop("wandb", None)
    assert said in str(caught.value)
    assert "hpcfl[wandb]" in str(caught.value)


def test_a_key_that_wandb_does_not_know(launch: Launcher):
    done = launch(1, "run", "--set", "tracking.wandb.mode=offline", "--set", "tracking.wandb.grup=x")
    assert done.returncode == 2
    assert done.stderr == "hpcfl: error: tracking.wandb.grup: unknown key; did you mean group?\n"


def test_sigterm_ends_a_tracked_run_and_wandb_s_own_process(launch: Launcher, tmp_path: Path):
    given = ["--set", "rounds=100000", "--set", "tracking.wandb.mode=offline", "--set", "tracking.tensorboard=true"]
    process = launch.start(1, "run", *given, "--out", "x.h5")
    said = ""
    while not (list(tmp_path.glob("wandb/offline-run-*/*.wandb")) and "accuracy" in said):
        said = process.stdout.readline()
        assert said, "ended before the first round"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=10)  # until nobody holds its output any more
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after round" in rest
    results = open_results(tmp_path / "x.h5")
    assert not results.finished
    assert len(results.rounds["step"]) >= 1


@pytest.mark.parametrize(
    "given, wandb, tensorboard",
    [
        ({}, None, None),
        ({"wandb": False, "tensorboard": False}, None, None),
        ({"wandb": True, "tensorboard": True}, ("hpcfl", None, None, {}), "runs"),
        ({"wandb": {}, "tensorboard": "a/b"}, ("hpcfl", None, None, {}), "a/b"),
        ({"wandb": {"project": "p", "name": "n", "mode": "offline", "tags": ["t"]}},
         ("p", "n", "offline", {"tags": ["t"]}), None),
    ],
)  # fmt: skip
def test_spellings(given: dict, wandb: tuple | None, tensorboard: str | None):
    job = spec(**given)
    found = job.tracking.wandb
    assert wandb == (found and (found.project, found.name, found.mode, found.params))
    assert tensorboard == job.tracking.tensorboard
    assert JobSpec.parse(job.resolved(), "again") == job


@pytest.mark.parametrize(
    "given, said",
    [
        ({"wandb": {"mode": "ofline"}}, "tracking.wandb.mode = 'ofline': should be 'online', 'offline' or 'disabled'"),
        ({"wandb": 5}, "tracking.wandb = 5: should be a table [tracking.wandb]"),
        ({"tensorboard": 5}, "tracking.tensorboard = 5: should be a valid string"),
        ({"tensorboard": ""}, "tracking.tensorboard = '': "),
        ({"mlflow": True}, "tracking.mlflow: unknown key; valid: tensorboard, wandb"),
    ],
)
def test_mistakes(given: dict, said: str):
    with pytest.raises(JobError) as caught:
        spec(**given)
    assert said in str(caught.value)
