"""What clients keep at home: from job to job, each its own, and not from a job that failed."""

import pytest
import torch

from hpcfl.build import assemble
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo


def trainer_of(strategy):
    job = {
        "rounds": 3,
        "data": {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 4, 4], "classes": 2},
        "partition": {"clients": 3},
        "model": {"name": "mlp", "hidden": [3]},
        "client": {"lr": 0.5},
        "strategy": strategy,
    }
    parts = assemble(JobFile("", JobSpec.parse(job, "job.toml"), None), torch.device("cpu"), trains=True, serves=False)
    return parts.trainer, parts.world


def train(trainer, world, client, version):
    _, fit = trainer.train(world.job(client, version, 0.0), {"w": world.initial})
    trainer.keep(fit)


def home(trainer, client):
    return trainer.homes.after(client, jobs=9)


def test_state_stays_from_job_to_job_with_each_client():
    trainer, world = trainer_of("diary.Diary")
    assert home(trainer, 0).keys() == {"w"}
    assert home(trainer, 0)["w"] is home(trainer, 2)["w"]
    train(trainer, world, 0, 0)
    first = home(trainer, 0)
    mine = first["mine"].clone()
    train(trainer, world, 2, 0)
    assert torch.equal(home(trainer, 0)["mine"], mine)  # and not the work space, in which client 2 has trained
    train(trainer, world, 0, 1)
    assert [int(home(trainer, client)["jobs"]) for client in (0, 2)] == [2, 1]
    assert "jobs" not in home(trainer, 1)
    assert not torch.equal(home(trainer, 0)["mine"], mine)
    assert torch.equal(first["mine"], mine)
    assert torch.equal(first["w"], world.initial)


@pytest.mark.parametrize(
    ("how", "message"), [("raise", "torn"), ("diverge", "non-finite values in the client's state")]
)
def test_a_job_that_fails_leaves_the_state_as_it_was(how, message):
    trainer, world = trainer_of({"name": "diary.Diary", "fails": how})
    train(trainer, world, 1, 0)
    before = home(trainer, 1)
    with pytest.raises(ValueError, match=message):
        train(trainer, world, 1, 1)
    after = home(trainer, 1)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in after)


def test_a_job_whose_upload_is_refused_leaves_it_too():
    trainer, world = trainer_of({"name": "diary.Diary", "fails": "upload"})
    pool = Collective(Solo(), trainer, world, reproducible=True)
    for version in range(2):
        jobs = tuple(world.job(client, version, 0.0) for client in range(3))
        pool.submit(jobs, lambda client: {"w": world.initial})
        cohort = pool.collect(Step(version + 1, 0.0, jobs, ()))
    assert [update.job.client for update in cohort.failures] == [1]
    assert [int(home(trainer, client)["jobs"]) for client in range(3)] == [2, 1, 2]


def test_without_private_state_there_is_none():
    trainer, world = trainer_of("fedavg")
    train(trainer, world, 0, 0)
    assert home(trainer, 0) == {}
