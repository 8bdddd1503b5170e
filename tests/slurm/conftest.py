"""Real Slurm: three nodes on this machine, for the tests that ask for them."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from slurmjobs import Slurm

SCRIPT = Path(__file__).with_name("cluster.sh")
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "ip", "nsenter")


@pytest.fixture(scope="session")
def cluster():
    """Starts the cluster; its programs find it by SLURM_CONF."""
    if os.geteuid():
        pytest.skip("a Slurm of our own takes root")
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)}: apt install slurm-wlm munge iproute2")
    folder = tempfile.mkdtemp(prefix="hpcfl-slurm-")
    done = subprocess.run(["bash", SCRIPT, "up", folder], capture_output=True, text=True, timeout=90, check=False)
    if done.returncode:
        subprocess.run(["bash", SCRIPT, "down", folder], capture_output=True, timeout=90, check=False)
        pytest.skip(f"Slurm does not start here: {(done.stderr.strip() or 'its nodes do not answer').splitlines()[-1]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        yield
        subprocess.run(["bash", SCRIPT, "down", folder], capture_output=True, timeout=90, check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(cluster, tmp_path, monkeypatch, capsys):
    """hpcfl in an empty folder, with Slurm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPCFL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HPCFL_SITE", raising=False)
    return Slurm(tmp_path, capsys)
