"""`hpcfl bench` as it is called: what it measures, what it prints, what it refuses. Never how fast it was."""

import json

import pytest
from launcher import Launcher

from hpcfl.bench.command import sort_out
from hpcfl.bench.workloads import WORKLOADS, job_of
from hpcfl.errors import JobError
from hpcfl.jobfile import packaged

TINY = ("data.samples=200", "data.test_samples=20", "model.hidden=[]", "schedule.c_ratio=0.5", "partition.clients=8")
SET = [word for change in TINY for word in ("--set", change)]
JOB = """
name = "own"
rounds = 2
data = {name = "synthetic", samples = 60, test_samples = 10, shape = [4]}
model = {name = "mlp", hidden = []}
partition = {clients = 6}
"""


def said(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_are_packaged_jobs_in_a_fixed_order(name):
    job = packaged(name)
    assert (job.spec.name, job.spec.client.shuffle, job.spec.strategy.name) == (name, False, "fedavg")
    assert job.text.startswith("# ")


def test_what_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(JOB)
    assert sort_out([], 1) == (["w1", "w2", "w3", "traffic", "async"], [])
    assert sort_out(["traffic", "mine.toml", "w2"], 3) == (["w2", "traffic"], ["mine.toml"])
    assert sort_out(["startup"], 1) == (["startup"], [])


@pytest.mark.parametrize(
    "wanted, ranks, message",
    [
        (
            ["w4"],
            1,
            "w4: is neither a job file nor a workload; valid: w1, w2, w3, cifar, vgg, traffic, async, checkpoint, "
            "flower, startup",
        ),
        (["async"], 1, "bench async: needs a server and client ranks"),
        (["startup"], 3, "bench startup: starts ranks itself"),
    ],
)
def test_what_cannot_be_measured(wanted, ranks, message):
    with pytest.raises(JobError, match=message):
        sort_out(wanted, ranks)


def test_a_workload_in_one_process(launch: Launcher):
    found = said(launch(1, "bench", "w2", "--repeats", 1, "--json", "--profile", *SET))
    (workload,) = found["workloads"]
    assert (workload["workload"], workload["rounds"], workload["agree"]) == ("w2", 1, True)
    loop, stack = workload["floors"]
    assert loop["floor"] == "bare loop, 1 thread"
    assert stack["floor"].startswith("all clients at once (vmap)")
    assert (loop["limit"], stack["limit"]) == (None, 1.2)
    assert loop["loss"] == pytest.approx(workload["loss"], rel=1e-5)
    assert stack["loss"] == pytest.approx(workload["loss"], rel=1e-5)
    assert loop["ratio"] == workload["hpcfl_s"] / loop["floor_s"]
    assert workload["memory_bytes"] > 1e8
    (profile,) = found["profiles"]
    assert profile["name"] == "w2"
    assert [rank["rank"] for rank in profile["ranks"]] == [0]


def test_cifar_makes_the_same_steps_as_its_loop_with_dropout(launch: Launcher):
    tiny = ("data.samples=60", "data.test_samples=20", "data.shape=[3,8,8]", "partition.clients=6", "rounds=3",
            "schedule.c_ratio=0.5")  # fmt: skip
    words = [word for change in tiny for word in ("--set", change)]
    (workload,) = said(launch(1, "bench", "cifar", "--repeats", 1, "--json", *words))["workloads"]
    assert (workload["agree"], workload["data"], workload["execution"]) == (True, "synthetic", "sequential")
    assert workload["whole"]["rounds"] == 3
    assert workload["whole"]["hpcfl_s"] == pytest.approx(3 * workload["hpcfl_s"])
    assert workload["busy"] is None


def test_cifar_takes_the_real_data_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HPCFL_DATA", str(tmp_path))
    assert job_of("cifar").spec.data.name == "synthetic"
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    assert job_of("cifar").spec.data.name == "cifar10"
    assert job_of("cifar", ("data.samples=100",)).spec.data.params["samples"] == 100
    assert job_of("w1").spec.data.name == "synthetic"


def test_tables_for_people(launch: Launcher):
    done = launch(1, "bench", "w2", "traffic", "--repeats", 1, "--profile", *SET)
    assert done.returncode == 0, done.stderr
    for words in (
        "W2, bound by overhead",
        "bare loop, 1 thread",
        "the same steps",
        "peak memory",
        "where a round",
        "sum",
    ):
        assert words.lower() in done.stdout.lower()


@pytest.mark.slow
def test_a_workload_over_ranks(launch: Launcher):
    found = said(launch(3, "bench", "w2", "--repeats", 1, "--json", "--profile", *SET))
    assert (found["ranks"], found["backend"]) == (3, "gloo")
    (workload,) = found["workloads"]
    rows = {row["floor"]: row for row in workload["floors"]}
    assert workload["agree"]
    assert rows["2 bare loops that never talk"]["loss"] is None
    assert rows["2 bare loops, one all_reduce"]["loss"] == pytest.approx(workload["loss"], rel=1e-5)
    ranks = found["profiles"][0]["ranks"]
    assert ranks[0]["rank"] == 0
    assert ranks[1]["rank"] in (1, 2)
    assert ranks[0]["seconds"]["backward"] == 0 < ranks[1]["seconds"]["backward"]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_job_file(launch: Launcher, ranks):
    (launch.folder / "own.toml").write_text(JOB)
    found = said(launch(ranks, "bench", "own.toml", "--repeats", 1, "--json", "--set", "client.batch_size=5"))
    (job,) = found["jobs"]
    assert job["job"] == "own.toml"
    assert job["executions"][0]["execution"] == "sequential"
    assert job["executions"][0]["hpcfl_s"] > 0
    assert job["recommendation"].endswith(".")


@pytest.mark.parametrize(
    "changes, message",
    [
        (["clock=wall"], 'clock = "wall": such rounds wait'),
        (["schedule=buffered"], "schedule = 'buffered': its jobs come one by one"),
        (["model=mpl"], "model = 'mpl': unknown; did you mean mlp"),
    ],
)
def test_jobs_without_rounds_to_time(launch: Launcher, changes, message):
    (launch.folder / "own.toml").write_text(JOB)
    done = launch(1, "bench", "own.toml", *(word for change in changes for word in ("--set", change)))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_way_to_the_first_round(launch: Launcher):
    found = said(launch(1, "bench", "startup", "--repeats", 1, "--json"))
    assert found["startup"][0]["launch"] == "one process"
    for row in found["startup"]:
        assert row["over_s"] == row["hpcfl_s"] - row["floor_s"]
        assert row["hpcfl_s"] > 0 < row["floor_s"]
