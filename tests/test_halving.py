"""Jobs for which memory is short: once more in halves where the job says so, and else failures with a reason."""

import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.build import assemble
from hpcfl.halving import Halved, attempt, is_short_of_memory
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.strategies import Ditto, FedAvg, FedEM, FedProx

SIZES = (8, 5, 12)


class Small(nn.Sequential):
    """A net that asks for more memory than there is where a batch has more samples than `most`."""

    def __init__(self, most=8):
        super().__init__(nn.Flatten(), nn.Linear(16, 3))
        self.most = most
        self.asked = []

    def forward(self, x):
        self.asked.append(len(x))
        if len(x) > self.most:
            torch.empty(2**50)
        return super().forward(x)


def short(most, strategy=None, splits=True):
    parts = federation(module=lambda: Small(most), strategy=strategy, sizes=SIZES, batch_size=8)
    parts.trainer.splits = splits
    return parts


@pytest.mark.parametrize("strategy", [FedAvg(), FedProx(0.5), Ditto()], ids=lambda strategy: type(strategy).__name__)
def test_in_halves_it_is_the_same_but_for_rounding(strategy):
    plenty, little = (short(most, strategy).collect() for most in (8, 4))
    assert not little.failures and len(little) == 3
    torch.testing.assert_close(little.mean("w"), plenty.mean("w"))
    assert [update.steps for update in little] == [update.steps for update in plenty]
    assert [update.loss for update in little] == pytest.approx([update.loss for update in plenty])


def test_only_the_jobs_for_which_it_is_short_are_halved():
    parts = short(5)
    parts.collect()
    assert parts.trainer.module.asked == [8] + [4, 4] * 2 + [5] * 2 + [8] + ([4, 4] + [2, 2]) * 2


def test_it_is_tried_once_more_and_not_again():
    cohort = short(3).collect()
    assert [update.job.client for update in cohort.failures] == [0, 2]  # batches of 8: halves of 4
    assert all("can't allocate memory" in update.failure for update in cohort.failures)
    assert [update.job.client for update in cohort] == [1]


def test_unless_the_job_says_so_the_client_has_failed():
    cohort = short(4, splits=False).collect()
    assert [update.job.client for update in cohort.failures] == [0, 1, 2]
    assert all("can't allocate memory" in update.failure for update in cohort.failures)


def test_a_client_s_own_state_is_that_of_one_job():
    parts = short(4, Ditto())
    jobs = parts.jobs()
    parts.collect(jobs)
    assert set(parts.trainer.homes.stand([1] * 3)) == {0, 1, 2}
    assert parts.trainer.homes.after(0, 0).keys() == {"w"}


def test_samples_with_weights_are_halved_with_them():
    parts = short(8)
    job = parts.jobs()[0]
    client = parts.trainer.client(job, {})
    found = []
    for kind in (parts.trainer.fit, Halved):
        vector = parts.world.initial.clone()
        fit = kind(parts.trainer, client, {})
        optimizer = parts.trainer.prepare(vector, 0.1)
        fit.step(client.index, vector, optimizer, torch.linspace(0, 2, len(client.index)))
        found.append((vector, fit.loss, fit.steps, fit.examples))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1].item() == pytest.approx(found[1][1].item(), rel=1e-6)
    assert found[0][2:] == found[1][2:] == (1, 8)


def test_learners_that_were_one_program_are_halved_each():
    found = []
    for most in (8, 4):
        parts = short(most, FedEM(2))
        parts.trainer.stacks, parts.trainer._test_batch_size = True, most
        w = torch.stack([parts.world.initial, -parts.world.initial])
        uploads, fit = attempt(parts.trainer, parts.jobs()[0], {"w": w})
        found.append((uploads["w"].clone(), fit.steps, fit.examples))
    torch.testing.assert_close(found[1][0], found[0][0])
    assert found[0][1:] == found[1][1:] == (2, 16)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_short_of_memory(failure, expected):
    assert is_short_of_memory(failure) is expected


def test_the_job_says_so():
    job = {
        "rounds": 1,
        "data": {"name": "synthetic", "samples": 20, "test_samples": 4, "shape": [1, 4, 4], "classes": 3},
        "model": {"name": "mlp", "hidden": [4]},
    }
    for said, splits in ((None, False), ("split", True)):
        spec = JobSpec.parse({**job, "client": {"out_of_memory": said}} if said else job, "job.toml")
        parts = assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=False)
        assert parts.trainer.splits is splits
