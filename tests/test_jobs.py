"""The job files that ship: each is valid, and runs for two rounds where its data is there."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher

from hpcfl.jobfile import packaged, read
from hpcfl.results import open_results
from hpcfl.sweep.file import read_sweep

FOLDER = Path(__file__).parents[1] / "jobs"
FILES = sorted(path for path in FOLDER.rglob("*.toml") if path.name != "pyproject.toml")
SWEEPS = [path for path in FILES if any(line.startswith(("[grid]", "[[cells]]")) for line in path.open())]
JOBS = [path for path in FILES if path not in SWEEPS]
LIGHT = ["rounds=2", "schedule.c_ratio=0.02", "client.epochs=1"]
NARROW = 'client.models=[{name = "vgg11", count = 4, width = 0.0625}, {name = "vgg19", count = 4, width = 0.0625}]'


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_job_files_are_valid_and_explained(path: Path):
    job = read(str(path))
    assert job.spec.name == path.stem
    assert job.text.startswith("# ")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_cell_of_a_sweep_file_is_valid(path: Path):
    assert len(read_sweep(str(path)).cells) > 1


@pytest.mark.parametrize("name", ["quickstart", "w1", "w2", "w3"])
def test_packaged_jobs_are_valid(name: str):
    assert packaged(name).spec.name == name


def few_images(folder: Path) -> None:
    """CIFAR-10 with 4,000 images of noise, and 50 to test on."""
    rng = np.random.default_rng(0)
    (folder / "cifar-10-batches-py").mkdir()
    for name, count in {**{f"data_batch_{number}": 800 for number in range(1, 6)}, "test_batch": 50}.items():
        images = rng.integers(0, 256, (count, 3072), np.uint8)
        batch = {b"data": images, b"labels": rng.integers(0, 10, count).tolist()}
        (folder / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(batch, 2))


def few_speakers(folder: Path) -> None:
    """The first scenes of Shakespeare's text."""
    source = Path(os.environ["HPCFL_DATA"], "shakespeare/input.txt")
    if not source.exists():
        pytest.skip("Shakespeare's text is not under HPCFL_DATA")
    (folder / "shakespeare").mkdir()
    (folder / "shakespeare/input.txt").write_bytes(source.read_bytes()[:40_000])


SMALL = {"cifar10": few_images, "shakespeare": few_speakers}


@pytest.mark.slow
@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_jobs_run_for_two_rounds(launch: Launcher, tmp_path: Path, path: Path):
    data = read(str(path)).spec.data.name
    if data != "digits" and "HPCFL_DATA" not in os.environ:
        pytest.skip(f"HPCFL_DATA is not set, and the job needs {data}")
    light = LIGHT
    if data in SMALL:
        SMALL[data](tmp_path)
        light = [*light, f"data.root={tmp_path}", "data.cache=false"]
    if read(str(path)).spec.client.models:
        light = [*light[3:], "rounds=2", "client.epochs=1", "client.slices=100", NARROW]
    if read(str(path)).spec.schedule.name == "buffered":  # its buffer must not be larger than what is in flight
        light = [*light, "schedule.num_generator=1"]
    if "byzantine" in read(str(path)).spec.strategy.params:  # which takes more than one client per round
        light = [*light, "strategy.byzantine=0"]
    if read(str(path)).spec.client.app:  # whose epochs and share of clients are Flower's business
        pytest.importorskip("flwr")
        light = ["rounds=2"]
    if "." in read(str(path)).spec.schedule.name:  # one of the job's own, which has keys of its own
        light = [pair for pair in light if not pair.startswith("schedule.")]
    done = launch(1, "run", path, *(word for pair in light for word in ("--set", pair)), "--out", "x.h5")
    if "is not under the data root" in done.stderr or "there is no folder" in done.stderr:
        pytest.skip(f"{data} is not under HPCFL_DATA")
    assert done.returncode == 0, done.stderr
    assert list(open_results(tmp_path / "x.h5").rounds["step"]) == [1, 2]


@pytest.mark.slow
def test_fashion_mnist_improves_every_few_rounds(launch: Launcher, tmp_path: Path):
    if "HPCFL_DATA" not in os.environ:
        pytest.skip("HPCFL_DATA is not set, and the job needs Fashion-MNIST")
    job = next(path for path in JOBS if path.stem == "fashion_mnist")
    done = launch(3, "run", job, "--set", "rounds=6", "--set", "schedule.c_ratio=0.1", "--out", "x.h5")
    assert done.returncode == 0, done.stderr
    accuracy = open_results(tmp_path / "x.h5").rounds["accuracy"]
    assert accuracy[0] < accuracy[2] < accuracy[5]
    assert accuracy[5] > 0.6
