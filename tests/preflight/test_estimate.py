"""What a plan's steps take, from costs that are given: counted by hand."""

import subprocess
import sys
from dataclasses import replace

import pytest

from hpcfl.cli import main
from hpcfl.federation import foresee
from hpcfl.jobfile import JobFile
from hpcfl.plan import overlaps, plan
from hpcfl.preflight.costs import COPIES, assumed, known, remember, timed
from hpcfl.preflight.estimate import estimate, limit
from hpcfl.schema import JobSpec

JOB = {
    "rounds": 4,
    "data": {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [8], "classes": 3},
    "model": {"name": "mlp", "hidden": []},
    "partition": {"clients": 6},
    "client": {"batch_size": 5},
}


def job(**changes):
    return JobFile("", JobSpec.parse({**JOB, **changes}, "job.toml"), None)


def judged(ranks, costs=None, file=None, **changes):
    file = file or job()
    schedule, world = foresee(file)
    costs = replace(costs or assumed(file.spec, 1000, 600, 100), **changes)
    return estimate(file.spec, world, plan(schedule, world), costs, ranks, overlapping=overlaps(schedule))


def test_a_round_of_equal_clients():
    found = judged(4, step_s=0.5, evaluate_s=1.0)  # six clients of two steps, three client ranks
    assert (found.path, found.training_s, found.best) == (4, 2.0, 7)
    assert (found.bytes_down, found.bytes_up) == (1000, 2000)
    assert (found.client_bytes_down, found.client_bytes_up) == (6000, 6000)
    assert found.round_s == pytest.approx(2.0 + 3000e-9)
    assert found.run_s == pytest.approx(4 * found.round_s)
    assert found.ways == {2: 12, 3: 6, 4: 4, 5: 4, 7: 2}


def test_one_rank_has_no_traffic_and_evaluates_after_training():
    found = judged(1, step_s=0.5, evaluate_s=1.0)
    assert (found.bytes_down, found.bytes_up, found.communicating_s) == (0, 0, 0)
    assert (found.path, found.round_s) == (12, 7.0)


def test_rank_0_may_be_what_all_wait_for():
    assert judged(7, step_s=0.5, evaluate_s=9.0).round_s == pytest.approx(9.0, rel=1e-5)


def test_without_a_step_time_there_are_no_times():
    found = judged(4)
    assert (found.training_s, found.round_s, found.run_s) == (None, None, None)
    assert found.path == 4


def test_memory_grows_with_what_clients_keep_and_what_is_brought_one_by_one():
    plain, kept = judged(4), judged(4, state_bytes=100, each_bytes=10)
    assert kept.client_memory - plain.client_memory == 200
    assert kept.server_memory - plain.server_memory == 60
    assert kept.bytes_up - plain.bytes_up == 60
    assert judged(4, program=3).best == 3


def test_neighbours_send_one_another_their_models():
    plain, mixing = judged(4), judged(4, mixed_bytes=1000, neighbours=2.5)
    assert mixing.bytes_up - plain.bytes_up == 6 * 2 * 1000  # each model to both of the other client ranks
    assert judged(8, mixed_bytes=1000, neighbours=2.5).bytes_up - judged(8).bytes_up == 6 * 2500
    assert judged(2, mixed_bytes=1000, neighbours=2.5).bytes_up == judged(2).bytes_up
    assert (mixing.client_bytes_up, mixing.client_bytes_down) == (15_000, 15_000)
    assert mixing.client_memory - plain.client_memory == 6000


def test_jobs_that_come_one_by_one_travel_one_by_one():
    file = job(schedule={"name": "buffered", "num_generator": 2}, rounds=6)
    found = judged(3, file=file, step_s=1.0)
    assert (found.bytes_down, found.bytes_up) == (2000, 2000)
    assert found.path == 2  # two ranks, two jobs of two steps each


@pytest.mark.parametrize(
    "run_s, asked",
    [(1, "00:05:00"), (160, "00:05:00"), (161, "00:10:00"), (4000, "01:45:00"), (7200, "03:30:00"),
     (86400, "1-12:30:00")],
)  # fmt: skip
def test_a_time_limit_as_slurm_writes_it(run_s, asked):
    assert limit(run_s) == asked


def test_costs_are_kept_for_jobs_that_cost_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("HPCFL_CACHE", str(tmp_path))
    spec = job().spec
    costs = timed(assumed(spec, 1000, 600, 100), 0.25)
    assert costs.client_memory - costs.server_memory == 500
    assert assumed(spec, 2000, 0, 0).client_memory - assumed(spec, 1000, 0, 0).client_memory == COPIES * 1000
    assert known(spec) is None
    remember(spec, costs)
    assert known(spec) == costs
    assert known(job(seed=5, rounds=9, name="other", schedule={"c_ratio": 0.5}).spec) == costs
    assert known(job(model={"name": "mlp", "hidden": [3]}).spec) is None
    next(tmp_path.rglob("*.json")).write_text("{torn")
    assert known(spec) is None


TEXT = "rounds = 3\ndata = 'digits'\nmodel = 'mlp'\n[client.device]\nupload_bandwidth = 1e6\n"


def test_a_calibration_is_kept_and_then_no_torch_is_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HPCFL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text(TEXT)
    main(["plan", "job.toml", "--ranks", "3", "--calibrate"])
    first = capsys.readouterr().out
    assert "--time 00:05:00" in first
    assert "measured on" in first
    program = "import sys; from hpcfl.cli import main; main(['plan', 'job.toml', '--ranks', '3']); "
    program += "print('torch' in sys.modules)"
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert again.endswith("False\n")
    assert again.removesuffix("False\n") == first
    assert "transfers take no time" not in first


def test_what_is_not_known_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HPCFL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "job.toml").write_text(TEXT)
    main(["plan", str(tmp_path / "job.toml"), "--ranks", "3"])
    said = capsys.readouterr().out
    assert "give --model-bytes, or --calibrate here" in said
    assert "give --step-time SECONDS, or --calibrate here" in said
    main(["plan", str(tmp_path / "job.toml"), "--step-time", "0.1", "--model-bytes", "4e6"])
    said = capsys.readouterr().out
    assert "estimate for 1 rank\n" in said
    assert "0.1 s per local step, as given" in said
