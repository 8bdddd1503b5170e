"""Floors and hpcfl make the same steps: their models agree, to rounding of a sum."""

import pytest
import torch

from hpcfl.bench.floors import Loop, Stack, Task, mean_loss, module_of
from hpcfl.bench.race import Ours, rounds_of
from hpcfl.bench.workloads import WORKLOADS
from hpcfl.build import assemble
from hpcfl.jobfile import packaged
from hpcfl.transport.group import Solo

SMALL = {
    "w1": ("data.samples=200", "partition.clients=10", "model.channels=[2, 3]", "model.hidden=8"),
    "w2": ("data.samples=200", "partition.clients=10", "schedule.c_ratio=0.5"),
    "w3": ("model.hidden=[8, 8]",),
    "cifar": ("data.samples=200", "data.shape=[3,8,8]", "partition.clients=10", "rounds=20", "schedule.c_ratio=0.2"),
    "vgg": ("data.samples=32", "partition.clients=4", "model.width=0.0625", "schedule.c_ratio=0.5"),
}
UNSTACKED = (torch.nn.Dropout, torch.nn.BatchNorm2d)
"""What the stacked floor cannot have: vmap draws for all models at once, and a model's averages are its own."""


@pytest.fixture(scope="module", params=WORKLOADS)
def workload(request):
    job = packaged(request.param, (*SMALL[request.param], "data.test_samples=20"))
    parts = assemble(job, torch.device("cpu"), trains=True, serves=True)
    ours = Ours("hpcfl", job, parts, Solo())
    steps = rounds_of(parts, 3)
    for step in steps:
        ours.round(step)
    return parts, steps, ours.model()


@pytest.mark.parametrize("kind", [Loop, Stack])
def test_a_floor_makes_the_model_that_hpcfl_makes(workload, kind):
    parts, steps, model = workload
    if kind is Stack and any(isinstance(part, UNSTACKED) for part in parts.trainer.module.modules()):
        pytest.skip("the stacked floor has no such model")
    floor = kind("floor", Task(parts))
    for step in steps:
        floor.round(step.done)
    assert not torch.equal(floor.model(), parts.world.initial)
    torch.testing.assert_close(floor.model(), model, rtol=0, atol=1e-5)
    loss = mean_loss(module_of(parts, model), parts)
    assert mean_loss(module_of(parts, floor.model()), parts) == pytest.approx(loss, rel=1e-5)


def test_loops_share_the_clients_between_them(workload):
    parts, steps, _ = workload
    task = Task(parts)
    whole, halves = Loop("one", task), [Loop("two", task, workers=2, worker=k) for k in range(2)]
    for loop in (whole, *halves):
        loop.round(steps[0].done)
    assert [half.model() for half in halves] == [None, None]
    torch.testing.assert_close(whole.model(), halves[0]._w + halves[1]._w, rtol=0, atol=1e-6)


def test_a_floor_leaves_the_job_s_own_model_alone(workload):
    parts, steps, _ = workload
    before = parts.world.initial.clone()
    Loop("floor", Task(parts)).round(steps[0].done)
    assert torch.equal(parts.world.initial, before)


def test_samples_are_those_of_each_client_in_the_dataset_s_order(workload):
    parts, _, _ = workload
    for client, (x, labels) in enumerate(Task(parts).data):
        index = parts.trainer.client(parts.world.job(client, 0, 0.0), {}).index
        assert torch.equal(index, index.sort().values)
        assert torch.equal(x, parts.trainer.samples.batch(index)[0])
        assert len(x) == len(labels) == parts.world.examples(client)


def test_a_floor_averages_what_batch_normalisation_remembers():
    model = 'model={name = "cnn", channels = [2, 3], hidden = 8, norm = "batch"}'
    job = packaged("w1", (*SMALL["w1"][:2], model, "data.test_samples=20"))
    parts = assemble(job, torch.device("cpu"), trains=True, serves=True)
    ours, floor = Ours("hpcfl", job, parts, Solo()), Loop("floor", Task(parts))
    for step in rounds_of(parts, 3):
        ours.round(step)
        floor.round(step.done)
    torch.testing.assert_close(floor.model(), ours.model(), rtol=0, atol=1e-5)
    views = parts.world.layout.views(floor.model())
    assert views["1.running_mean"].any()
    loss = mean_loss(module_of(parts, ours.model()), parts)
    assert mean_loss(module_of(parts, floor.model()), parts) == pytest.approx(loss, rel=1e-5)
