"""Clients of different architectures over real ranks: the same bits on any number of them, and after a pause."""

from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher

from hpcfl.results import open_results

JOB = """
rounds = 3
data = "digits"
partition = {name = "iid", clients = 5, amounts = [30, 30, 30, 30, 30]}
strategy = "basic_common"
[client]
batch_size = 24
test_size = 0.2
[[client.models]]
name = "resnet20"
width = 0.125
count = 2
[[client.models]]
name = "resnet32"
width = 0.125
count = 3
[checkpoint]
every = 1
"""


def run(launch: Launcher, ranks: int, job: Path, out: str, *changes: str) -> str:
    done = launch(ranks, "run", job, "--out", out, *(word for change in changes for word in ("--set", change)))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_same_bits_on_1_and_3_ranks_and_after_an_interruption(launch: Launcher, tmp_path: Path):
    job = tmp_path / "job.toml"
    job.write_text(JOB)
    run(launch, 1, job, "whole.h5")
    run(launch, 3, job, "x.h5", "rounds=2")
    assert "goes on after round 2" in run(launch, 1, job, "x.h5", "checkpoint.resume=auto")
    whole, resumed = open_results(tmp_path / "whole.h5"), open_results(tmp_path / "x.h5")
    assert resumed.own["step"].tolist() == [1, 2, 3]
    for name in ("loss", "accuracy", "test_loss", "test_accuracy"):
        np.testing.assert_array_equal(whole.own[name], resumed.own[name], err_msg=name)
    for name in ("loss", "accuracy", "client_accuracy", "train_loss", "client_bytes_up"):
        np.testing.assert_array_equal(whole.rounds[name], resumed.rounds[name], err_msg=name)
    assert resumed.models == {2: ["resnet20", "resnet32"], 3: ["resnet20", "resnet32"]}
    for name in ("resnet20", "resnet32"):
        first, second = whole.model(name=name), resumed.model(name=name)
        assert list(first) == list(second)
        assert all(np.array_equal(first[tensor], second[tensor]) for tensor in first)
    shared = int(whole.sharing["numbers"][whole.sharing["averaged"] > 0].sum())
    assert sum(tensor.size for tensor in first.values()) == shared
    # one sum of what is averaged, whatever the number of clients; it goes down to train, and again to be examined
    np.testing.assert_array_equal(resumed.rounds["bytes_up"][:2], 8 * shared)
    np.testing.assert_array_equal(resumed.rounds["bytes_down"][:2], 2 * 4 * shared)
    np.testing.assert_array_equal(resumed.rounds["client_bytes_up"], 5 * 4 * shared)
    assert set(resumed.clients["architecture"]) == {"resnet20", "resnet32"}
