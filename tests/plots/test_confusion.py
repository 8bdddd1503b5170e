"""The confusion matrix is that of the stored model on the job's test set, and a file alone runs no code of its own."""

import json

import h5py
import numpy as np
import pytest

from hpcfl import plots
from hpcfl.analysis.predictions import confused
from hpcfl.errors import JobError, ResultError
from hpcfl.results import open_results


def changed(path, tmp_path, **sections):
    """A copy of the file whose job says something else."""
    copy = tmp_path / "changed.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        job = json.loads(file["job/resolved"][()]) | sections
        del file["job/resolved"]
        file["job/resolved"] = json.dumps(job)
    return copy


def test_it_agrees_with_the_recorded_accuracy(real, axes):
    counts, names = confused(real)
    assert names == list("0123456789")
    assert counts.sum() == 360
    assert np.trace(counts) / 360 == real.rounds["accuracy"][-1]
    plots.confusion(counts, names, axes)
    assert np.array_equal(axes.images[0].get_array(), counts / counts.sum(1, keepdims=True))


def test_a_step_that_was_not_kept(real):
    with pytest.raises(ResultError, match="holds no model 'global' of step 2; it holds global of step 6"):
        confused(real, step=2)


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"name": "strange.boom", "params": {}}},
        {"model": {"name": "torchvision.models.resnet.partial", "params": {}}},
        {"data": {"name": "strange.boom", "params": {}}},
        {"strategy": {"name": "fedavg+strange.boom", "params": {}}},
        {"strategy": {"name": "fedopt", "params": {"optimizer": {"name": "strange.boom"}}}},
    ],
    ids=lambda sections: "-".join(str(section["name"]) for section in sections.values()),
)
def test_code_that_a_file_names_is_not_run(real_path, tmp_path, monkeypatch, sections):
    (tmp_path / "strange.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    with open_results(changed(real_path, tmp_path, **sections)) as run, pytest.raises(JobError, match="say --trust"):
        confused(run)


def test_code_that_is_trusted_is_found_beside_the_job(real_path, tmp_path):
    (real_path.parent / "beside.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    )
    model = {"name": "beside.Net", "params": {}}
    with open_results(changed(real_path, tmp_path, model=model)) as run:
        counts, _ = confused(run, trust=True)
        assert np.trace(counts) / 360 == run.rounds["accuracy"][-1]


def test_a_model_that_does_not_fit(real_path, tmp_path):
    copy = changed(real_path, tmp_path, model={"name": "mlp", "params": {"hidden": [8]}})
    with (
        open_results(copy) as run,
        pytest.raises(ResultError, match=r"its model has no .* of shape \(8, 64\), as its job's"),
    ):
        confused(run)
