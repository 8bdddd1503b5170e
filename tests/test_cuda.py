"""On a CUDA GPU: graphs and streams have the results of plain calls, and nobody waits for the device within a round."""

import pytest
import torch
from test_captured import CASES, trained
from torch import nn
from worlds import federation

from hpcfl.acceleration import Accelerator, Execution, enter
from hpcfl.batched import Batched
from hpcfl.build import assemble
from hpcfl.captured import Captured, CudaGraph
from hpcfl.hindsight import Hindsight
from hpcfl.jobfile import JobFile
from hpcfl.orders import Order
from hpcfl.plan import plan
from hpcfl.rank import build_pool
from hpcfl.recorded import RecordedBatched
from hpcfl.schema import Device, JobSpec
from hpcfl.sgd import SGD
from hpcfl.share import Sums
from hpcfl.strategies import FedAvg
from hpcfl.transport.group import Solo

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

SIZES = (6, 4, 9, 5, 1, 13)


def gpu():
    return torch.device("cuda", 0)


def made(case):
    return federation(**{"optimizer": SGD, "sizes": SIZES, "epochs": (1, 3), "device": gpu(), **CASES[case]})


@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_have_the_results_of_plain_calls(case):
    plain, recorded = made(case), made(case)
    Captured(recorded.trainer, CudaGraph)
    for (uploads, *counts, loss), (found, *found_counts, found_loss) in zip(
        trained(plain), trained(recorded), strict=True
    ):
        assert found_counts == counts
        assert found_loss == pytest.approx(loss, rel=1e-4)
        for name, value in uploads.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_a_job_gives_the_same_bits_again_whatever_came_before():
    parts = made("momentum")
    Captured(parts.trainer, CudaGraph)
    first = parts.train(3)
    for client in (0, 2, 1):
        parts.train(client)
    assert torch.equal(parts.train(3), first)


class Waiting(FedAvg):
    def loss(self, logits, labels, client):
        loss = client.loss(logits, labels)
        return loss * (2.0 if loss.item() > 1 else 1.0)


def test_a_step_that_waits_for_the_device_is_not_captured():
    parts = federation(optimizer=SGD, sizes=SIZES, device=gpu(), strategy=Waiting())
    taken = Execution(parts.trainer, None).take(parts.world, Device(), Accelerator())
    assert str(taken).startswith("sequential, not captured: ")
    plain = federation(optimizer=SGD, sizes=SIZES, device=gpu(), strategy=Waiting())
    assert torch.equal(parts.train(2), plain.train(2))


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3))


class Convolved(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3, 3))


@pytest.mark.parametrize("kind", [Batched, RecordedBatched])
@pytest.mark.parametrize("module", [Small, Convolved])
def test_programs_of_many_clients_have_the_results_of_plain_calls(kind, module):
    one, together = (federation(module=module, optimizer=SGD, sizes=SIZES, device=gpu()) for _ in range(2))
    batched, sent = kind(together.trainer, len(SIZES)), {"w": one.world.initial}
    if kind is RecordedBatched:
        assert batched.record(CudaGraph, one.world.initial) is None
    for _ in range(2):
        found = batched.train(one.jobs(), [sent] * len(SIZES)).uploads["w"]
        for job, w in zip(one.jobs(), found):
            torch.testing.assert_close(w, one.trainer.train(job, sent)[0]["w"], rtol=1e-4, atol=1e-5)


def summed(device, strategy=None):
    parts = federation(module=Small, optimizer=SGD, sizes=SIZES * 3, device=gpu(), strategy=strategy)
    lanes = Execution(parts.trainer, None).take(parts.world, Device(**device), Accelerator()).lanes
    jobs, sums = parts.jobs(), Sums(True, gpu())
    share = Hindsight(Order.of(jobs, lambda client: {"w": parts.world.initial}), parts.trainer, sums, lanes)
    for job in jobs:
        share.train([job])
    share.finish()
    share.sums["w"].settle()
    return share.sums["w"].total


@pytest.mark.parametrize("graphs", [True, False])
def test_streams_do_not_change_a_bit(graphs):
    assert torch.equal(summed({"graphs": graphs, "streams": 4}), summed({"graphs": graphs, "streams": 1}))


JOB = {
    "rounds": 4,
    "data": {"name": "synthetic", "samples": 600, "test_samples": 10, "shape": [1, 8, 8], "classes": 3},
    "partition": {"clients": 20},
    "model": {"name": "cnn", "channels": [3, 4], "hidden": 5},
    "client": {"batch_size": 8},
}


@pytest.mark.parametrize(
    "changes",
    [{"execution": "batched"}, {"execution": "sequential"}, {"execution": "sequential", "device": {"streams": 3}},
     {"execution": "sequential", "device": {"graphs": False}}],
    ids=str,
)  # fmt: skip
def test_nobody_waits_within_a_round(changes, monkeypatch):
    job = JobFile("", JobSpec.parse({**JOB, **changes}, "job.toml"), None)
    parts = assemble(job, gpu(), trains=True, serves=True)
    pool, state = build_pool(job.spec, parts, Solo()), parts.strategy.init(parts.world)
    steps = [step for step in plan(parts.schedule, parts.world) if step.done]

    def one_round(step):
        pool.submit(step.done, lambda client: parts.strategy.send(state, client))
        return parts.strategy.combine(state, pool.collect(step))

    for step in steps[:-1]:  # every size of batch and program is captured
        state = one_round(step)
    finish = Hindsight.finish

    def looked_at(share):
        torch.cuda.set_sync_debug_mode("default")
        finish(share)

    monkeypatch.setattr(Hindsight, "finish", looked_at)
    torch.cuda.set_sync_debug_mode("error")
    try:
        one_round(steps[-1])
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("tf32", 5e-3)])
def test_products_are_rounded_as_the_job_says(precision, tolerance):
    torch.manual_seed(0)
    a, b = torch.randn(64, 256), torch.randn(256, 64)
    exact = a.double() @ b.double()
    enter(Device(precision=precision), gpu())
    try:
        found = (a.to(gpu()) @ b.to(gpu())).cpu().double()
    finally:
        enter(Device(), gpu())
    assert (found - exact).norm() / exact.norm() < tolerance
