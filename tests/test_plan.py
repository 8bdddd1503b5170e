"""`hpcfl plan`: the whole schedule, cut to what matters, without training and without PyTorch."""

import os
import subprocess
import sys
from time import process_time

import numpy as np
import pytest

from hpcfl.build import assemble
from hpcfl.cli import main
from hpcfl.clock import VirtualClock
from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.errors import HpcflError, JobError
from hpcfl.federation import build_schedule, foresee
from hpcfl.jobfile import JobFile, read
from hpcfl.plan import plan
from hpcfl.schedule import Buffered, Synchronous, Tiered
from hpcfl.schedule.grouping import Delay, Latency, One
from hpcfl.schema import JobSpec

SYNTHETIC = {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 8, 8], "classes": 3}
LEAST = {"rounds": 4, "data": SYNTHETIC, "model": {"name": "mlp", "hidden": []}, "partition": {"clients": 6}}


def job(**changes):
    return JobFile("", JobSpec.parse({**LEAST, **changes}, "job.toml"), None)


def schedule(**given):
    return build_schedule(job(schedule=given).spec)


def complaint(**changes):
    with pytest.raises(HpcflError) as caught:
        foresee(job(**changes))
    return str(caught.value)


def world(rounds, clients=3):
    return World(0, rounds, np.ones((clients, 2), int), 2, (1, 1), Devices.alike(clients))


def test_jobs_that_no_step_combines_are_not_started():
    steps = plan(Buffered(), world(2))
    assert [[job.client for job in step.start] for step in steps] == [[0, 1], [], []]
    assert [[job.client for job in step.done] for step in steps] == [[], [0], [1]]
    uncut = list(Buffered()(world(2), VirtualClock()))
    assert [len(step.start) for step in uncut] == [3, 3, 0]


def test_steps_of_which_nothing_is_left_are_left_out():
    uncut = list(Buffered(choose="no", acquire_model_delay=0.5)(world(4), VirtualClock()))
    assert [len(step.start) for step in uncut] == [3, 0, 0, 0, 3, 0]
    steps = plan(Buffered(choose="no", acquire_model_delay=0.5), world(3))
    assert [(step.index, step.time) for step in steps] == [(0, 0.0), (1, 1.0), (2, 1.0), (3, 1.0)]


def test_a_thousand_steps_of_a_hundred_clients_take_about_a_second():
    rng = np.random.default_rng(0)
    nothing = np.zeros(100)
    devices = Devices(0, rng.uniform(1, 2, 100), nothing, nothing, nothing, dropout=0.05)
    counts = rng.integers(1, 50, (100, 10))
    begin = process_time()
    steps = plan(Buffered(num_generator=100), World(0, 1000, counts, 10, (1, 1), devices))
    assert process_time() - begin < 5  # 1 s where nothing else runs
    assert sum(len(step.done) for step in steps) == 100_000


def test_schedules_and_their_parts_by_name():
    assert schedule() == schedule(name="synchronous") == Synchronous()
    assert schedule(name="buffered", num_generator=3, in_flight=5) == Buffered(3, in_flight=5)
    assert schedule(name="tiered") == schedule(name="tiered", group="one") == Tiered(group=One())
    assert schedule(name="tiered", group={"name": "delay", "step": 5}) == Tiered(group=Delay(5))
    assert schedule(name="tiered", group={"name": "latency", "tiers": 3}).group == Latency(3)
    assert schedule(name="tiered", group={"name": "latency", "params": {"tiers": 3}}).group == Latency(3)
    own = {"name": f"{__name__}.Numbers", "much": 4}
    assert schedule(name="buffered", num_generator=own).num_generator.much == 4
    assert schedule(name="buffered", num_generator=f"{__name__}.Numbers").num_generator.much == 2
    assert schedule(name="hpcfl.schedule.Buffered", num_generator=2) == Buffered(2)


class Numbers:
    def __init__(self, much=2):
        self.much = much

    def init(self):
        pass

    def get_num(self):
        return self.much


class Mute:
    """Cannot be called."""


class Odd:
    def __call__(self, world):
        return ((0, 1, 2),)


class Wrong:
    def __call__(self, world):
        return world.nonsense


def test_groups_are_the_world_s():
    assert foresee(job())[1].groups == ((0, 1, 2, 3, 4, 5),)
    tiers = {"name": "tiered", "group": {"name": "latency", "tiers": 2}}
    slow = {"device": {"stale": [9, 0, 0, 9, 0, 9]}}
    assert foresee(job(schedule=tiers, client=slow))[1].groups == ((1, 2, 4), (0, 3, 5))
    delays = {"name": "tiered", "group": {"name": "delay", "step": 4}}
    assert foresee(job(schedule=delays, client=slow))[1].groups == ((1, 2, 4), (0, 3, 5))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"name": "synchronus"}, "schedule = 'synchronus': unknown; did you mean synchronous?"),
        ({"c_ratio": 0}, "schedule.c_ratio = 0"),
        ({"deadline": -1}, "schedule.deadline = -1: should be greater than 0"),
        ({"first": 9}, "schedule.first = 9: more than the 6 clients of a round"),
        ({"firts": 9}, "schedule.firts: unknown key; did you mean first?"),
        (
            {"name": "buffered", "choose": "all"},
            "schedule.choose = 'all': should be 'random', 'full', 'round_robin' or",
        ),
        ({"name": "buffered", "num_generator": 7}, "schedule.num_generator = 7: a buffer larger than the 6 clients"),
        ({"name": "buffered", "num_generator": 1.5}, "schedule.num_generator = 1.5: should be a whole number"),
        ({"name": "buffered", "num_generator": "some"}, "schedule.num_generator = 'some': unknown; valid: "),
        ({"name": "buffered", "num_generator": f"{__name__}.Mute"}, "class with init() and get_num()"),
        (
            {"name": "buffered", "num_generator": {"much": 3}},
            "schedule.num_generator = {'much': 3}: name: field required",
        ),
        ({"name": "buffered", "in_flight": 7}, "schedule.in_flight = 7: more than the 6 clients there are"),
        ({"name": "tiered", "group": "two"}, "schedule.group = 'two': unknown; "),
        ({"name": "tiered", "group": {"name": "delay"}}, "schedule.group.step: required by Delay, but missing"),
        (
            {"name": "tiered", "group": {"name": "delay", "step": 0}},
            "schedule.group.step = 0: should be greater than 0",
        ),
        (
            {"name": "tiered", "group": {"name": "latency", "tiers": 7}},
            "schedule.group.tiers = 7: tiers without clients, there are only 6 clients",
        ),
        ({"name": "tiered", "group": f"{__name__}.Odd"}, "each of the 6 clients should be in one group"),
        ({"name": "tiered", "group": f"{__name__}.Wrong"}, "schedule.group: failed: AttributeError"),
        ({"name": f"{__name__}.Mute"}, "gives a Mute, which cannot be called with a world and a clock"),
    ],
)
def test_a_schedule_that_cannot_be(given, said):
    assert said in complaint(schedule=given)


def test_the_plan_is_that_of_the_run():
    import torch

    changes = {
        "client": {"epochs": [1, 3], "batch_size": 4, "device": {"speed": {"name": "lognormal", "sigma": 1.0}}},
        "schedule": {"name": "tiered", "group": {"name": "latency", "tiers": 2}},
    }
    changes["client"]["device"] |= {"upload_bandwidth": 100, "dropout": 0.2}
    parts = assemble(job(**changes), torch.device("cpu"), trains=False, serves=False)
    foreseen, place = foresee(job(**changes), 4 * parts.world.layout.size)
    assert plan(foreseen, place) == plan(parts.schedule, parts.world)
    assert plan(*foresee(job(**changes))) != plan(foreseen, place)


def test_centralized_has_one_client_of_average_make():
    schedule, place = foresee(job(strategy="centralized", client={"device": {"stale": [1] * 6, "seconds_per_step": 2}}))
    assert (place.clients, place.examples(0), place.devices.duration(0, 3)) == (1, 60, 6.0)


ASYNC = """
rounds = 20
data = {name = "digits"}
partition = {clients = 12}
client = {epochs = [1, 3], device = {stale = {step = 5, list = [4, 4, 4]}, dropout = 0.1}}
schedule = {name = "buffered", num_generator = 2}
"""


def test_it_prints_what_will_happen(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "wild.toml").write_text(ASYNC)
    main(["plan", str(tmp_path / "wild.toml")])
    lines = capsys.readouterr().out.splitlines()
    steps = plan(*foresee(read(str(tmp_path / "wild.toml"))))
    words = {line[:14].strip(): line[14:].strip() for line in lines[:12]}
    assert words["job"] == "wild"
    assert words["server steps"] == "20"
    assert words["virtual time"] == f"{steps[-1].time:,.1f} s"
    assert words["updates"] == f"40 of {len({job.client for step in steps for job in step.done})} clients"
    assert words["dropped"] == f"{sum(len(step.lost) for step in steps)} jobs"
    staleness = [step.staleness(job) for step in steps for job in step.done]
    assert words["staleness"] == f"{np.mean(staleness):.2f} on average, at most {max(staleness)}"
    histogram = lines[
        lines.index("staleness of the updates") : lines.index("timeline of the first of 12 clients that train")
    ]
    for value in set(staleness):
        bars = [line.split() for line in histogram if line.strip().startswith(f"{value} ")]
        assert [bar[-2] for bar in bars] == [str(staleness.count(value))]
    assert sum(line.strip().startswith("client ") for line in lines) == 12
    assert max(map(len, lines)) <= 80


def test_groups_and_a_busy_client(tmp_path, capsys):
    text = "rounds = 6\ndata = {name = 'synthetic', samples = 40}\npartition = {clients = 40}\n"
    (tmp_path / "tiers.toml").write_text(text)
    changes = ["schedule.name=tiered", "schedule.group.name=delay", "schedule.group.step=2.0"]
    changes += ["client.device.stale={step = 2.0, list = [20, 0, 20]}", "client.device.upload_bandwidth=5"]
    main(["plan", str(tmp_path / "tiers.toml"), *(word for change in changes for word in ("--set", change))])
    printed = capsys.readouterr().out
    assert "give --model-bytes" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert [row[0:3] for row in rows if len(row) > 2 and row[2] == "clients)"] == [
        ["0", "(20", "clients)"],
        ["1", "(20", "clients)"],
    ]
    lines = [line for line in printed.splitlines() if line.strip().startswith("client ")]
    assert len(lines) == 20
    assert {line.strip().split("  ")[1] for line in lines} == {lines[0].strip().split("  ")[1]}
    main(["plan", str(tmp_path / "tiers.toml"), "--set", changes[-1], "--model-bytes", "50"])
    printed = capsys.readouterr().out
    assert "--model-bytes" not in printed
    assert "66.0 s" in printed  # six rounds of one step and 10 s of sending


def test_it_is_quick_because_it_loads_neither_torch_nor_scikit_learn(tmp_path):
    (tmp_path / "wild.toml").write_text(ASYNC)
    program = "import sys; from hpcfl.cli import main; main(['plan', 'wild.toml']); "
    program += "print(sorted({'torch', 'sklearn', 'scipy', 'h5py', 'mpi4py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("['h5py']\n") or done.stdout.endswith("[]\n"), done.stdout
    assert "timeline" in done.stdout


def test_where_only_ascii_can_be_printed_it_is_ascii(tmp_path):
    (tmp_path / "wild.toml").write_text(ASYNC)
    done = subprocess.run(
        [sys.executable, "-m", "hpcfl", "plan", "wild.toml"], capture_output=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert b"###" in done.stdout
    assert max(done.stdout) < 128


def test_mistakes_are_one_message(tmp_path, capsys):
    (tmp_path / "wild.toml").write_text(ASYNC)
    with pytest.raises(SystemExit) as caught:
        main(["plan", str(tmp_path / "wild.toml"), "--set", "schedule.num_generator=13"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("hpcfl: error: schedule.num_generator = 13: a buffer larger than the 12")
    with pytest.raises(JobError):
        foresee(job(client={"device": {"stale": [1]}}))
