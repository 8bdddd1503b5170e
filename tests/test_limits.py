"""`server.max_norm`: who changes the model by more has failed, with a reason, and the round goes on."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.build import assemble
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile
from hpcfl.limits import limit
from hpcfl.schema import JobSpec
from hpcfl.strategies import AFL, QFFL, FedAvg, FedBuff, FedEM, FedNova
from hpcfl.transport.group import Solo


@dataclass(frozen=True)
class Given(FedAvg):
    """Client k changes the model by k in one number, of a 3-4-5 triangle in two if it is the last."""

    def local(self, fit, sent, client):
        w = sent["w"].clone()
        w[0] += 3 if client.id == 3 else client.id
        w[1] += 4 if client.id == 3 else 0
        return {"w": w}


@pytest.mark.parametrize(("most", "failed"), [(10.0, []), (5.01, []), (4.9, [3]), (1.5, [2, 3])])
def test_who_goes_too_far_has_failed(most, failed):
    cohort = federation(strategy=limit(Given(), most)).collect()
    assert [update.job.client for update in cohort.failures] == failed
    assert [update.job.client for update in cohort] == [client for client in range(4) if client not in failed]
    for update in cohort.failures:
        assert f"more than server.max_norm = {most:g}" in update.failure
    if failed:
        assert "its change has norm 5, more" in cohort.failures[-1].failure


def test_of_those_who_stay_the_mean_is_taken():
    parts = federation(strategy=limit(Given(), 1.5), sizes=(2, 2, 2, 2))
    change = parts.collect().mean("w") - parts.world.initial
    assert change[0].item() == pytest.approx(0.5, abs=1e-6)
    assert torch.equal(change[1:], torch.zeros_like(change[1:]))


def test_a_change_is_measured_as_it_is():
    parts = federation(strategy=limit(FedBuff(), 1e-6))
    job = parts.jobs()[0]
    with pytest.raises(Exception, match=r"its change has norm .*, more than server.max_norm = 1e-06"):
        parts.trainer.train(job, {"w": parts.world.initial})


class Line(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("kind", [FedNova, QFFL, AFL])
def test_what_is_no_model_is_measured_from_where_it_would_be(kind):
    parts = federation(strategy=limit(kind(), 1e-3), rates=(1e-6,), module=Line)
    sent = {"w": parts.world.initial, "lam": torch.tensor([0.4, 0.3, 0.2, 0.1])}
    for job in parts.jobs():
        parts.trainer.train(job, sent)


def test_what_has_no_length_is_told():
    class Pi(FedEM):
        uploads = {"pi": "each"}  # noqa: RUF012

    with pytest.raises(JobError, match=r"server.max_norm = 2: the algorithm uploads pi, and neither a model 'w'"):
        limit(Pi(), 2.0)


def test_the_job_says_how_far():
    job = {
        "rounds": 1,
        "data": {"name": "synthetic", "samples": 20, "test_samples": 4, "shape": [1, 4, 4], "classes": 3},
        "model": {"name": "mlp", "hidden": [4]},
        "server": {"max_norm": 1e-9},
        "partition": {"clients": 2},
    }
    parts = assemble(JobFile("", JobSpec.parse(job, "job.toml"), None), torch.device("cpu"), trains=True, serves=False)
    jobs = [parts.world.job(client, 0, 0.0) for client in range(2)]
    pool = Collective(Solo(), parts.trainer, parts.world, True, parts.batched)  # together, and then one by one
    pool.submit(jobs, lambda client: {"w": parts.world.initial})
    cohort = pool.collect(Step(1, 0.0, tuple(jobs), ()))
    assert len(cohort.failures) == 2
    assert all("server.max_norm = 1e-09" in update.failure for update in cohort.failures)
