"""The batch script: its text, and that the shell takes it."""

import shutil
import subprocess

import pytest

from hpcfl.errors import JobError
from hpcfl.slurm import Request, Site, script

PLAIN = Request("fedavg", "run jobs/fedavg.toml --out results/fedavg-$SLURM_JOB_ID.h5", "results/%x-%j.log")
FULL = Request(
    "fedavg", "run jobs/fedavg.toml --set 'client.lr=0.1'", "my results/%x-%A_%a.log", nodes=2, gpus_per_node=8,
    cpus_per_rank=4, time="4:00:00", qos="long", array="0-9%2", after=("7", "8"), requeue=True,
)  # fmt: skip
CLUSTER = Site(
    partition="gpu", account="fl", qos="short", modules=["gcc/13", "cuda/12.4"], environment="~/envs/hpcfl",
    interface="ib0", sbatch=["--mem=64G"], setup=["ulimit -n 65536"],
)  # fmt: skip

GOLDEN_PLAIN = """\
#!/bin/bash
# Written by hpcfl; can be handed in again with sbatch.
#SBATCH --job-name=fedavg
#SBATCH --output=results/%x-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --no-requeue

set -e

srun --cpus-per-task=1 --cpu-bind=cores python -m hpcfl run jobs/fedavg.toml --out results/fedavg-$SLURM_JOB_ID.h5
"""

GOLDEN_FULL = """\
#!/bin/bash
# Written by hpcfl; can be handed in again with sbatch.
#SBATCH --job-name=fedavg
#SBATCH --output="my results/%x-%A_%a.log"
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --account=fl
#SBATCH --qos=long
#SBATCH --time=4:00:00
#SBATCH --nodes=2
#SBATCH --ntasks=17
#SBATCH --ntasks-per-node=9
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-node=8
#SBATCH --array=0-9%2
#SBATCH --dependency=afterok:7:8
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --mem=64G

set -e
module load gcc/13 cuda/12.4
source "$HOME/envs/hpcfl/bin/activate"
export NCCL_SOCKET_IFNAME=ib0 GLOO_SOCKET_IFNAME=ib0
unset SLURM_NTASKS_PER_NODE  # a limit here; srun would take it for the number, and complain
ulimit -n 65536

srun --cpus-per-task=4 --cpu-bind=cores python -m hpcfl run jobs/fedavg.toml --set 'client.lr=0.1'
"""

MPIRUN = Site(launcher="mpirun", environment="fl")
SCRIPTS = {
    "plain": (PLAIN, Site()),
    "full": (FULL, CLUSTER),
    "mpirun": (FULL, MPIRUN),
    "itself": (Request("sweep", "sweep a.toml --task $SLURM_ARRAY_TASK_ID", "x", launched=False, requeue=True), Site()),
    "another python": (Request("a", "run", "x", python="/opt/my env/bin/python3"), Site()),
}

# SC1091: the environment is elsewhere; SC2086: ids need no quotes
CHECKERS = [["bash", "-n"], ["shellcheck", "--exclude=SC1091,SC2086", "-"]]


@pytest.mark.parametrize("name, golden", [("plain", GOLDEN_PLAIN), ("full", GOLDEN_FULL)])
def test_the_text(name, golden):
    assert script(*SCRIPTS[name]) == golden


@pytest.mark.parametrize(
    "name, lines",
    [
        ("mpirun", ["#SBATCH --requeue", 'eval "$(conda shell.bash hook)" && conda activate "fl"',
                    "exec mpirun -np 17 python -m hpcfl run jobs/fedavg.toml --set 'client.lr=0.1'"]),
        ("itself", ["#SBATCH --signal=B:USR2@120", "exec python -m hpcfl sweep a.toml --task $SLURM_ARRAY_TASK_ID"]),
        ("another python", ["export PATH='/opt/my env/bin':$PATH",
                            "srun --cpus-per-task=1 --cpu-bind=cores python3 -m hpcfl run"]),
    ],
)  # fmt: skip
def test_lines(name, lines):
    assert [line for line in script(*SCRIPTS[name]).splitlines() if line in lines] == lines


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    "checker", [["bash", "-n"], ["shellcheck", "--exclude=SC1091,SC2086", "-"]], ids=lambda c: c[0]
)
def test_the_shell_takes_it(name, checker):
    if not shutil.which(checker[0]):
        pytest.skip(f"no {checker[0]} here")
    done = subprocess.run(checker, input=script(*SCRIPTS[name]), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    "given, ranks",
    [({}, 1), ({"nodes": 3}, 3), ({"nodes": 2, "ranks_per_node": 4}, 8), ({"gpus_per_node": 8}, 9),
     ({"gpus_per_node": 8, "nodes": 2}, 17), ({"gpus_per_node": 8, "ranks_per_node": 8}, 8)],
)  # fmt: skip
def test_ranks(given, ranks):
    assert Request("a", "run", "x", **given).ranks == ranks


def test_a_lead_of_its_own_is_told_without_requeueing():
    lines = script(Request("a", "run", "x", signal_lead=300), Site()).splitlines()
    assert "#SBATCH --signal=USR2@300" in lines
    assert "#SBATCH --no-requeue" in lines


def test_a_job_that_goes_on_without_lost_ranks_and_nodes():
    lines = script(Request("a", "run", "x", nodes=2, survives=True), Site()).splitlines()
    assert "#SBATCH --no-kill" in lines
    assert lines[-1].startswith("srun --kill-on-bad-exit=0 --no-kill --wait=0 --cpus-per-task=1 --cpu-bind=cores ")


@pytest.mark.parametrize("value", ["a\n#SBATCH --partition=root", 'a"b'])
def test_a_value_cannot_leave_its_line(value):
    with pytest.raises(JobError, match="--partition = .*should have no quotes"):
        script(Request("a", "run", "x", partition=value), Site())


def test_mpirun_gets_no_signal():
    assert "--signal" not in script(FULL, MPIRUN)
    with pytest.raises(JobError, match="--signal-lead: mpirun does not pass the signal on"):
        script(Request("a", "run", "x", signal_lead=60), MPIRUN)
