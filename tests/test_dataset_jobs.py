"""A job on every dataset whose samples belong to somebody, from the file to the result, for one round."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from launcher import Launcher

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.data import find_root, load_labels
from hpcfl.errors import DataError
from hpcfl.federation import foresee
from hpcfl.jobfile import JobFile
from hpcfl.results import open_results
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

MODELS = {
    "uci_har": {"name": "cnn1d", "channels": [4, 4], "hidden": 8},
    "pamap2": {"name": "cnn1d", "channels": [4, 4], "hidden": 8},
    "shakespeare": {"name": "char_lstm", "hidden": 8},
    "ag_news": {"name": "charcnn3", "width": 1 / 64},
    "speech_commands": {"name": "cnn", "channels": [4, 4], "hidden": 8},
    "omniglot": {"name": "cnn", "channels": [4, 4], "hidden": 8},
}


def job(name, **data):
    content = {
        "rounds": 1,
        "data": {"name": name, **data},
        "partition": {"name": "dirichlet", "beta": 0.5, "clients": 20},
        "model": MODELS[name],
        "client": {"lr": 0.1, "batch_size": 20},
        "schedule": {"c_ratio": 0.1},
    }
    return JobFile("", JobSpec.parse(content, "job.toml"), None)


def write_pamap2(root):
    """Ten seconds each of two activities of two subjects, since the real files are large and rarely at hand."""
    folder = root / "PAMAP2_Dataset/Protocol"
    folder.mkdir(parents=True)
    for subject in (1, 2):
        table = np.random.default_rng(subject).normal(0, 1, (2000, 54))
        table[:, 1] = np.repeat([1, 24], 1000)
        table[::7, 2:10] = np.nan
        np.savetxt(folder / f"subject10{subject}.dat", table, "%.4g")


@pytest.mark.parametrize("name", MODELS)
def test_one_round(name, tmp_path, monkeypatch):
    if name == "pamap2":
        write_pamap2(tmp_path)
        monkeypatch.setenv("HPCFL_DATA", str(tmp_path))
    root = find_root(None, os.environ)
    try:
        load_labels(name, root=root)
    except DataError as error:
        if "data root" not in str(error):  # it is there, but not as it should be
            raise
        pytest.skip(f"{name} is not under HPCFL_DATA ({root})")
    parts = assemble(job(name), torch.device("cpu"), trains=True, serves=True)
    _, foreseen = foresee(job(name))
    assert np.array_equal(foreseen.counts, parts.world.counts)
    pool = Collective(Solo(), parts.trainer, parts.world, reproducible=True)
    steps = parts.schedule(parts.world, VirtualClock())
    seen = []
    state = engine.run(
        parts.world, parts.strategy, steps, pool, lambda step, updates, state, seconds: seen.append(updates)
    )
    assert [len(updates.updates) for updates in seen] == [2]
    assert not torch.equal(state["w"], parts.world.initial)
    loss, accuracy = parts.evaluate(256)(state["w"])
    assert np.isfinite(loss) and 0 <= accuracy <= 1


JOB = """
rounds = 1
data = {{name = "leaf", path = "texts", root = "{root}"}}
model = {{name = "char_lstm", hidden = 8}}
partition = {{clients = 2}}
client = {{batch_size = 2}}
schedule = {{c_ratio = 1.0}}
"""


def test_a_job_on_text_from_the_command_line(launch: Launcher, tmp_path: Path):
    users = {user: {"x": ["to be or", "not to b"], "y": ["n", "e"]} for user in ("HAMLET", "FOOL")}
    for part in ("train", "test"):
        (tmp_path / "texts" / part).mkdir(parents=True)
        content = {"users": list(users), "num_samples": [2, 2], "user_data": users}
        (tmp_path / "texts" / part / "all.json").write_text(json.dumps(content))
    (tmp_path / "job.toml").write_text(JOB.format(root=tmp_path))
    done = launch(1, "run", "job.toml", "--out", "x.h5")
    assert done.returncode == 0, done.stderr
    assert list(open_results(tmp_path / "x.h5").rounds["examples"]) == [4]
    shown = launch(1, "show", "x.h5")
    assert shown.returncode == 0, shown.stderr
