"""The command line in one process: commands, messages, exit codes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher

from hpcfl.results import open_results

QUICK = ["--set", "rounds=2", "--set", "schedule.c_ratio=0.05"]


def test_help_and_import_load_nothing_heavy():
    program = "import sys, hpcfl\nfrom hpcfl.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += "print(sorted({'torch', 'numpy', 'h5py', 'pydantic', 'rich', 'mpi4py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "doctor" in done.stdout


def test_reading_a_job_and_showing_a_file_load_no_torch(launch: Launcher):
    assert launch(1, "run", *QUICK, "--out", "x.h5").returncode == 0
    program = "import sys; from hpcfl.cli import main; main(['show', 'x.h5']); import hpcfl.jobfile; "
    program += "hpcfl.jobfile.read(None); print('torch' in sys.modules)"
    done = launch.run([sys.executable, "-c", program])
    assert done.stdout.strip().endswith("False"), done.stderr


@pytest.mark.slow
def test_without_a_command_it_runs_the_quickstart_to_90_percent(launch: Launcher, tmp_path: Path):
    done = launch(1)
    assert done.returncode == 0, done.stderr
    assert "round 60/60" in done.stdout
    assert "ETA" in done.stdout
    assert "hpcfl show results/quickstart.h5" in done.stdout
    assert open_results(tmp_path / "results/quickstart.h5").rounds["accuracy"].max() > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_does_not(launch: Launcher, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert launch(1, "run", *QUICK, "--set", f"seed={seed}", "--out", f"{name}.h5").returncode == 0
    a, b, c = (open_results(tmp_path / f"{name}.h5").model() for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not any(np.array_equal(a[name], c[name]) for name in a)


def test_files_are_numbered_and_never_overwritten_silently(launch: Launcher, tmp_path: Path):
    for _ in range(2):
        assert launch(1, "run", *QUICK).returncode == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["quickstart-2.h5", "quickstart.h5"]
    before = (tmp_path / "results/quickstart.h5").read_bytes()
    refused = launch(1, "run", *QUICK, "--out", "results/quickstart.h5")
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    assert "results.overwrite=true" in refused.stderr
    assert (tmp_path / "results/quickstart.h5").read_bytes() == before
    again = launch(1, "run", *QUICK, "--set", "results.overwrite=true", "--out", "results/quickstart.h5")
    assert again.returncode == 0


def test_models_are_kept_on_the_way(launch: Launcher, tmp_path: Path):
    assert (
        launch(1, "run", *QUICK, "--set", "rounds=5", "--set", "results.keep_every=2", "--out", "x.h5").returncode == 0
    )
    assert list(open_results(tmp_path / "x.h5").models) == [2, 4, 5]


def test_validate(launch: Launcher, tmp_path: Path):
    (tmp_path / "job.toml").write_text("rounds = 3\ndata = 'digits'\n")
    done = launch(1, "validate", "job.toml")
    assert done.returncode == 0, done.stderr
    assert "job.toml is valid" in done.stdout
    assert not list(tmp_path.rglob("*.h5"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "absent.toml"], ["absent.toml", "does not exist"]),
        (["run", "--set", "rounds"], ["--set rounds", "KEY=VALUE"]),
        (["run", "--set", "strategy=fedprocks"], ["strategy = 'fedprocks'", "fedprox"]),
        (["run", "--set", "model=no.such.Net"], ["model = 'no.such.Net'", "cannot be imported"]),
        (["run", "--set", "model=torchvision.models.resnet18"], ["resnet18", "(1, 8, 8)"]),
        (["run", "--set", "partition.clients=5000"], ["partition.clients = 5000", "1,437"]),
        (["run", "--set", "server.min_clients=101"], ["server.min_clients = 101", "100 clients"]),
        (["run", "--set", "data=mnist"], ["data.name = 'mnist'", "HPCFL_DATA"]),
        (["run", "--set", "data={name='mnist',root='nowhere'}"], ["nowhere", "MNIST/raw"]),
        (["run", "--out", "/proc/x.h5"], ["/proc/x.h5"]),
        (["run", "--out", "/dev/null/x.h5"], ["cannot write /dev/null/x.h5"]),
        (["run", "--set", "device.kind=tpu"], ["device.kind = 'tpu'", "'cpu'"]),
        (["show", "absent.h5"], ["absent.h5"]),
        (["shw"], ["shw", "show"]),
    ],
)
def test_mistakes_are_one_message(launch: Launcher, arguments: list[str], words: list[str]):
    launch.environ.pop("HPCFL_DATA", None)
    done = launch(1, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_was_recorded(launch: Launcher, mount):
    small = mount(16)
    refused = launch(1, "run", "--set", "model.hidden=60000", "--out", small / "x.h5")
    assert refused.returncode == 2
    assert "free" in refused.stderr
    # short rounds: the file grows by chunks of hundreds of rows, and the disk is missed only then
    short = ["schedule.c_ratio=0.01", "client.epochs=1", "server.evaluate_every=20000", "rounds=20000"]
    process = launch.start(1, "run", *(word for key in short for word in ("--set", key)), "--out", small / "x.h5")
    while "round " not in process.stdout.readline():
        assert process.poll() is None
    with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(1 << 12))
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 2
    assert said.count("hpcfl: error:") == 1
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert len(open_results(small / "x.h5").rounds["step"]) >= 1
