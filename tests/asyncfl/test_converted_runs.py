"""Async-FL's files run: as they are and converted they give the same bits, and the note is told once."""

import json
import os
import shutil

import numpy as np
import pytest
from asyncfl.samples import FOLDER, SAMPLES, sample
from launcher import Launcher

from hpcfl.results import open_results

FEW = ["rounds=2", "partition.examples_per_client=20", "tracking.wandb=false"]
SMALL = [*FEW, "data.name=digits"]


def changes(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def test_a_file_and_what_it_is_converted_to_give_the_same_bits(launch: Launcher, tmp_path):
    shutil.copy(FOLDER / "FedAsync-one-update.json", tmp_path / "job.json")
    job = changes(*SMALL, "model=cnn")
    converted = launch(1, "convert", "job.json", *changes("model=cnn"))
    (tmp_path / "job.toml").write_text(converted.stdout, "utf-8")
    runs = []
    for name in ("job.json", "job.toml"):
        done = launch(1, "run", name, *job, "--out", f"{name}.h5")
        assert done.returncode == 0, done.stderr
        runs.append((done, open_results(tmp_path / f"{name}.h5")))
    (noted, ours), (silent, theirs) = runs
    assert noted.stderr.count("note: job.json: Async-FL's client_manager.path, ") == 1
    assert "note:" not in silent.stderr
    assert ours.model().keys() == theirs.model().keys()
    assert all(np.array_equal(ours.model()[name], theirs.model()[name]) for name in ours.model())


SLOW = """
from dataclasses import dataclass

from hpcfl.strategies import FedAvg


@dataclass(frozen=True)
class Slow(FedAvg):
    pace: float = 1.0

    def correct(self, grad, w, start, sent, client):
        grad.mul_(self.pace)
"""


def test_a_client_of_ones_own_beside_the_file(launch: Launcher, tmp_path):
    (tmp_path / "mine.py").write_text(SLOW, "utf-8")
    own = {"client.path": "mine.Slow", "client.params": {"pace": 0.0}}
    (tmp_path / "job.json").write_text(json.dumps(sample("FedAsync", **own)), "utf-8")
    moves = []
    for more in ([], ["strategy.pace=0.5"]):
        done = launch(1, "run", "job.json", *changes(*SMALL, "model=cnn", *more), "--out", f"{len(more)}.h5")
        assert done.returncode == 0, done.stderr
        moves.append(np.ptp(open_results(tmp_path / f"{len(more)}.h5").rounds["loss"]) > 1e-6)
    assert moves == [False, True]


LOSSES = """
from torch.nn.functional import cross_entropy


def smooth(eps):
    return lambda logits, labels: cross_entropy(logits, labels, label_smoothing=eps)
"""


def test_a_function_that_makes_the_loss_and_one_that_is_it(launch: Launcher, tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES, "utf-8")
    forms = [
        {"type": "func", "path": "losses.smooth", "params": {"eps": 0.1}},
        {"type": "func", "path": "torch.nn.functional.cross_entropy", "params": {"label_smoothing": 0.1}},
    ]
    models = []
    for number, form in enumerate(forms):
        (tmp_path / "job.json").write_text(json.dumps(sample("FedAvg", **{"client.loss": form})), "utf-8")
        done = launch(1, "run", "job.json", *changes(*SMALL, "model=cnn"), "--out", f"{number}.h5")
        assert done.returncode == 0, done.stderr
        models.append(open_results(tmp_path / f"{number}.h5").model())
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[0])


def test_two_ranks_tell_the_note_once(launch: Launcher, tmp_path):
    done = launch(2, "run", FOLDER / "FedAvg.json", *changes(*SMALL), "--out", "x.h5")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: ") == 1


def test_validate_tells_it_too(launch: Launcher):
    done = launch(1, "validate", FOLDER / "FedAvg.json", *changes(*SMALL))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: ") == 1
    assert "is valid: fedavg, 2 rounds, seed 1" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_run_for_two_rounds(launch: Launcher, tmp_path, path):
    if "HPCFL_DATA" not in os.environ:
        pytest.skip("HPCFL_DATA is not set, and the samples need MNIST, Fashion-MNIST and CIFAR-10")
    done = launch(1, "run", path, *changes(*FEW), "--out", "x.h5")
    assert done.returncode == 0, done.stderr
    assert list(open_results(tmp_path / "x.h5").rounds["step"]) == [1, 2]
