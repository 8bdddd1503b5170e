"""Jobs in a real Slurm of three nodes: handed in, waited for, looked at, cancelled, requeued, ended by the clock."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slurmjobs import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
QUICK = ("--set", "rounds=2", "--set", "schedule.c_ratio=0.05")
LONG = ("--set", "rounds=1000000", "--set", "schedule.c_ratio=0.02", "--set", "client.epochs=1")


@pytest.fixture(scope="module", autouse=True)
def limited(cluster, tmp_path_factory):
    """A job that a minute is too short for, begun before all others: (id, Slurm)."""
    folder = tmp_path_factory.mktemp("limited")
    command = [sys.executable, "-m", "hpcfl", "submit", *LONG, "--time", "1", "--out", "x.h5"]
    environ = {**os.environ, "HPCFL_HOME": str(folder / "home")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environ)
    return done.stdout.partition(":")[0].removeprefix("job "), Slurm(folder, None)


@pytest.fixture
def data(slurm):
    """A job whose data is large enough to be staged."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2000, 1, 28, 28), np.uint8), np.arange(2000) % 4
    np.savez("digits.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    Path("job.toml").write_text(
        'rounds = 2\nmodel = "mlp"\ndata = {name = "npz", root = ".", path = "digits.npz", cache = false}\n'
        'partition = {name = "iid", clients = 8}\n'
    )
    return "job.toml"


def alone(slurm, *job):
    """The result file of the job, run here in one process."""
    slurm.ask(sys.executable, "-m", "hpcfl", "run", *job, "--out", "alone.h5")
    return "alone.h5"


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def test_several_hosts_meet_without_mpi_and_each_reads_the_data_once(slurm, data):
    Path("slurm").mkdir()
    Path("slurm/site.toml").write_text('interface = "eth0"\nsetup = ["echo $GLOO_SOCKET_IFNAME > network"]\n')
    stage = f"data.stage={slurm.folder}/disk-of-$SLURMD_NODENAME"
    number = slurm.submit(data, "--nodes", 2, "--ranks-per-node", 2, "--set", stage)
    assert slurm.end(number) == "COMPLETED", slurm.logs()
    with slurm.read(f"results/job-{number}.h5") as run:
        found, model = run.environment, run.model()
    assert (found["launcher"], found["ranks"], found["mpi"]) == ("slurm", 4, "not used")
    assert (found["hosts"], found["slurm_job_id"]) == (["hf1", "hf1", "hf2", "hf2"], number)
    assert Path("network").read_text() == "eth0\n"
    for node in ("hf1", "hf2"):
        assert len(list((slurm.folder / f"disk-of-{node}/hpcfl").glob("npz-*"))) == 1
    with slurm.read(alone(slurm, data)) as run:
        assert same(run.model(), model)


def test_mpirun_in_a_batch_job_reaches_every_host(slurm):
    if not Path(sys.executable).with_name("mpirun").exists():
        pytest.skip("no mpirun beside this Python")
    Path("mpirun.toml").write_text('launcher = "mpirun"\n')
    number = slurm.submit(*QUICK, "--site", "mpirun.toml", "--nodes", 2, "--ranks-per-node", 2)
    assert slurm.end(number) == "COMPLETED", slurm.logs()
    with slurm.read(f"results/quickstart-{number}.h5") as run:
        assert run.environment["hosts"] == ["hf1", "hf1", "hf2", "hf2"]
        assert run.environment["launcher"] in ("mpich", "openmpi")


def test_srun_that_speaks_pmi2_changes_nothing(slurm):
    said = slurm.ask("srun", "--mpi=pmi2", "-N2", "-n3", sys.executable, "-m", "hpcfl", "doctor")
    assert "hf1 (2), hf2 (1)" in said
    assert said.count("launcher") == 1


def test_gpus_and_the_ranks_that_share_them(slurm):
    """The first node has a rank more than GPUs; every rank sees all GPUs of its node."""
    dry = slurm("submit", *QUICK, "--nodes", 2, "--gpus-per-node", 2, "--dry-run")[1]
    *lines, command = dry.rstrip().splitlines()
    assert "python" in command
    seen = "echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_LOCALID $CUDA_VISIBLE_DEVICES"
    asking = command.partition(" python")[0] + f" sh -c '{seen}'"
    Path("results").mkdir()
    subprocess.run(["sbatch", "--wait", "-o", "gpus.log"], input="\n".join([*lines, asking]), text=True, check=True)
    said = [line for line in Path("gpus.log").read_text().splitlines() if line[0].isdigit()]
    places = ["0 hf1 0", "1 hf1 1", "2 hf1 2", "3 hf2 0", "4 hf2 1"]
    assert sorted(said) == [f"{place} 0,1" for place in places]
    assert "Warning" not in Path("gpus.log").read_text()


def test_an_array_and_a_job_that_waits_for_it(slurm):
    array = slurm.submit(*QUICK, "--array", "0-1", "--set", "seed=%a")
    after = slurm.submit(*QUICK, "--after", array, "--out", "last.h5")
    code, said, _ = slurm("status")
    assert code == 0
    assert [line for line in said.splitlines() if line.startswith(after) and "pending (Dependency)" in line]
    assert slurm.end(after) == "COMPLETED", slurm.logs()
    for index in (0, 1):
        with slurm.read(f"results/quickstart-{array}_{index}.h5") as run:
            assert run.job["seed"] == index
            assert run.finished
    lines = slurm("status")[1].splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        [name, "quickstart", "finished", "2/2"] for name in (f"{array}_0", f"{array}_1", after)
    ]
    assert "last.h5" in lines[-1]
    assert len(slurm("status", "--last", 1)[1].splitlines()) == 2


def test_a_running_job_is_seen_and_cancelled(slurm):
    number = slurm.submit(*LONG, "--set", "name=endless", "--set", "checkpoint.every=0")
    result = f"results/endless-{number}.h5"
    slurm.wait(lambda: slurm.started(result, 3), "three rounds")
    line = slurm("status")[1].splitlines()[1]
    assert line.split()[:3] == [number, "endless", "running"]
    assert "/1000000" in line
    assert slurm("cancel", "endless") == (0, f"cancelled: {number}\n", "")
    assert slurm.end(number) == "CANCELLED"
    assert slurm("status")[1].splitlines()[1].split()[:3] == [number, "endless", "interrupted"]
    code, _, complaint = slurm("cancel", number)
    assert code == 2
    assert f"{number}: is not in the queue any more" in complaint


def test_a_job_that_is_told_comes_back_and_ends_as_if_nothing_had_been(slurm):
    job = ("--set", "rounds=60", "--set", "schedule.c_ratio=0.03")
    number = slurm.submit(*job, "--requeue", "--time", 10)
    result = f"results/quickstart-{number}.h5"
    assert slurm.job(number)["Requeue"] == "1"
    slurm.wait(lambda: slurm.started(result, 3), "three rounds")
    slurm.ask("scancel", "--signal=USR2", number)
    assert slurm.end(number) == "COMPLETED", slurm.logs()
    assert slurm.job(number)["Restarts"] == "1", slurm.logs()
    with slurm.read(result) as run, slurm.read(alone(slurm, *job)) as whole:
        assert same(run.model(), whole.model())
        assert run.rounds["step"].tolist() == list(range(1, 61))
    log = Path(f"results/quickstart-{number}.log").read_text()
    assert "round 60/60" in log
    assert "round 1/60" in log


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--partition", "nowhere"], "sbatch: error: invalid partition specified: nowhere"),
        (["--gpus-per-node", "64"], "sbatch: error: Batch job submission failed"),
        (["--time", "soon"], "sbatch: error: Invalid --time specification"),
    ],
)
def test_a_refusal_is_shown_as_it_is(slurm, arguments, said):
    code, _, complaint = slurm("submit", *QUICK, *arguments)
    assert code == 2
    assert said in complaint
    assert not (slurm.folder / "home").exists()


def test_a_template_as_a_person_would_hand_it_in(slurm):
    environ = {**os.environ, "HPCFL_VENV": str(Path(sys.executable).parents[1])}
    if not (Path(sys.executable).parent / "activate").exists():
        pytest.skip("this Python is in no virtual environment")
    command = ["sbatch", "--parsable", "--ntasks-per-node=2", ROOT / "slurm/one_node_cpu.sbatch", "quickstart", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    assert slurm.end(done.stdout.strip()) == "COMPLETED", slurm.logs()
    (result,) = (slurm.folder / "results").glob("*.h5")
    with slurm.read(result) as run:
        assert run.environment["ranks"] == 2


def test_the_time_limit_is_met_with_a_checkpoint(limited):
    number, slurm = limited
    assert slurm.end(number) == "FAILED", slurm.logs()  # by itself: Slurm would have called it TIMEOUT
    assert slurm.job(number)["ExitCode"] == "75:0"
    with slurm.read("x.h5") as run:
        assert run.status == "interrupted"
    assert "go on with: hpcfl run" in slurm.logs()
