"""FlexiFed through the real parts: clients of different architectures train, average what they share, and are told."""

import numpy as np
import pytest
import torch

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.errors import JobError
from hpcfl.farm import Farm
from hpcfl.federation import foresee
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

SMALL = {"name": "mlp", "hidden": [6], "count": 2}
LARGE = {"name": "mlp", "hidden": [6, 5], "count": 3}
JOB = {
    "rounds": 2,
    "data": {"name": "synthetic", "samples": 100, "test_samples": 20, "shape": [1, 4, 4], "classes": 3},
    "partition": {"clients": 5},
    "client": {"lr": 0.1, "batch_size": 8, "models": [SMALL, LARGE], "test_size": 0.2},
    "strategy": "max_common",
}


def job_of(changes=(), **sections):
    job = {**JOB, **sections}
    return JobFile("", JobSpec.parse({**job, "client": {**job["client"], **dict(changes)}}, "job.toml"), None)


def parts_of(changes=(), **sections):
    return assemble(job_of(changes, **sections), torch.device("cpu"), trains=True, serves=True)


def final(parts, pool=None):
    pool = pool or Collective(Solo(), parts.trainer, parts.world, reproducible=True)
    steps = parts.schedule(parts.world, VirtualClock())
    return engine.run(parts.world, parts.strategy, steps, pool, lambda *seen: None)["w"], pool


def own(parts, w):
    """Every client's own model, as tensors by name."""
    found = []
    for number in range(parts.world.clients):
        version = parts.trainer.versions[parts.world.family.of[number]]
        state = parts.trainer.homes.after(number, 99)
        client = version.client(parts.world.job(number, 2, 0.0), state)
        found.append(version.layout.views(parts.strategy.personal(None, {"w": w}, client)))
    return found


@pytest.mark.parametrize(
    ("scheme", "first", "rest"),
    [
        ("standalone", "each", "each"),
        ("clustered_fl", "version", "version"),
        ("basic_common", "all", "each"),
        ("clustered_common", "all", "version"),
        ("max_common", "all", "version"),
    ],
)
def test_who_ends_with_the_same_tensors(scheme, first, rest):
    parts = parts_of(strategy=scheme)
    models = own(parts, final(parts)[0])
    groups = {"each": [0, 1, 2, 3, 4], "version": [0, 0, 1, 1, 1], "all": [0] * 5}
    for name, how in (("1.weight", first), ("3.bias", rest)):
        for one in range(5):
            for other in range(5):
                a, b = models[one][name], models[other][name]
                same = a.shape == b.shape and torch.equal(a, b)
                assert same == (groups[how][one] == groups[how][other]), (name, one, other)


def test_a_round_is_the_mean_over_those_that_have_the_tensor():
    parts = parts_of(rounds=1)
    world, strategy, trainer = parts.world, parts.strategy, parts.trainer
    sent = strategy.send(strategy.init(world), 0)
    uploads = [trainer.train(world.job(client, 0, 0.0), sent)[0]["w"].clone() for client in range(5)]
    w, pool = final(parts)
    models = own(parts, w)
    layouts = [world.family.layouts[number] for number in world.family.of]
    views = [layout.views(upload) for layout, upload in zip(layouts, uploads)]
    examples = world.counts.sum(1)
    for name, members in (("1.weight", [0, 1, 2, 3, 4]), ("3.weight", [2, 3, 4])):
        expected = sum(int(examples[k]) * views[k][name] for k in members) / int(examples[members].sum())
        assert torch.allclose(models[2][name], expected, atol=1e-6)
    assert pool.bytes_up == pool.bytes_down == 0


def test_a_job_that_averages_nothing_sends_nothing():
    world = parts_of(strategy="standalone").world
    assert len(world.initial) == world.family.size == 0
    bandwidth = {"device": {"seconds_per_step": 1.0, "download_bandwidth": 100.0, "upload_bandwidth": 50.0}}
    job = parts_of(bandwidth, strategy="standalone").world.job(0, 0, 0.0)
    assert job.finish == job.steps


def test_transfers_last_by_what_each_architecture_averages():
    world = parts_of({"device": {"seconds_per_step": 0.0, "download_bandwidth": 4.0}}).world
    sizes = [world.family.layouts[number].size for number in world.family.of]
    assert [world.job(client, 0, 0.0).finish for client in range(5)] == pytest.approx(sizes)


def test_clients_are_examined_on_their_shares_and_on_the_test_set():
    parts = parts_of()
    state = parts.strategy.init(parts.world)
    jobs = [parts.world.job(client, 0, 0.0) for client in range(5)]
    pool = Collective(Solo(), parts.trainer, parts.world, reproducible=True)
    found = pool.examine(jobs, lambda client: parts.strategy.send(state, client), dict.fromkeys(range(5), 0))
    assert np.isfinite([found[client] for client in range(5)]).all()
    assert found[0][2:] == found[1][2:] != found[2][2:] == found[3][2:]
    kept = parts_of({"test_size": 0.0})
    found = Collective(Solo(), kept.trainer, kept.world, reproducible=True).examine(
        jobs[:1], lambda client: kept.strategy.send(state, client), {0: 0}
    )
    assert np.isnan(found[0][:2]).all()
    assert np.isfinite(found[0][2:]).all()


@pytest.mark.parametrize("scheme", ["max_common", "basic_common", "standalone"])
def test_an_asynchronous_schedule_will_do(scheme):
    parts = parts_of(strategy=scheme, rounds=6, schedule={"name": "buffered", "num_generator": 2, "in_flight": 4})
    pool = Farm(Solo(), parts.trainer, parts.world, True, 60.0)
    w, _ = final(parts, pool)
    pool.close()
    assert len(w) == parts.world.family.size
    assert torch.isfinite(w).all()


@pytest.mark.parametrize("compression", ["topk", "fp16"])
@pytest.mark.parametrize("scheme", ["max_common", "basic_common", "standalone"])
def test_uploads_can_be_compressed(scheme, compression):
    parts = parts_of(strategy=scheme, communication={"compression": compression})
    plain = parts_of(strategy=scheme)
    w, pool = final(parts)
    assert len(w) == len(plain.world.initial)
    assert scheme == "standalone" or not torch.equal(w, final(plain)[0])


def test_fedprox_combines_with_it():
    assert not torch.equal(final(parts_of(strategy={"name": "fedprox+max_common", "mu": 5.0}))[0], final(parts_of())[0])


def test_rows_that_say_the_same_are_one_architecture():
    parts = parts_of({"models": [SMALL, LARGE, {**SMALL, "count": 1}]}, partition={"clients": 6})
    assert parts.world.family.of == (0, 0, 1, 1, 1, 0)
    assert parts.architectures == ["mlp-1", "mlp-1", "mlp-2", "mlp-2", "mlp-2", "mlp-1"]
    alone = parts_of({"models": [{**SMALL, "count": 5}]}, strategy="fedavg")
    assert alone.world.family is None
    assert alone.architectures == ["mlp"] * 5


@pytest.mark.parametrize("scheme", ["clustered_fl", "max_common", "basic_common", "clustered_common"])
def test_with_one_architecture_it_is_fedavg(scheme):
    equal = {"models": [{**SMALL, "count": 5}]}
    assert torch.equal(final(parts_of(equal, strategy=scheme))[0], final(parts_of(equal, strategy="fedavg"))[0])


MISTAKES = [
    ({"models": [SMALL]}, {}, "client.models: the counts add up to 2 = 2, but there are 5 clients"),
    ({}, {"partition": {"clients": 4}}, r"client.models: the counts add up to 2 \+ 3 = 5, but there are 4 clients"),
    ({}, {"model": "lenet5"}, "model = 'lenet5': client.models says which client has which"),
    ({}, {"strategy": "fedavg"}, "strategy = 'fedavg' averages models that are alike.*valid: .*max_common"),
    ({}, {"execution": "batched"}, "cannot be: its clients may have different architectures"),
    (
        {"models": [SMALL, {"name": "vgg11", "count": 3}]},
        {},
        "models: VGG11.*images of at least 32x32, but samples have .*4, 4",
    ),
    ({"models": [SMALL, {"name": "mlp", "hiden": [3], "count": 3}]}, {}, "client.models.hiden: unknown key"),
    ({"models": [{**SMALL, "count": 0}, LARGE]}, {}, "client.models.0.count = 0: should be greater than 0"),
    ({"models": [{"name": "mlp"}, LARGE]}, {}, "client.models.0.count: required, but missing"),
]


@pytest.mark.parametrize(("changes", "sections", "message"), MISTAKES, ids=lambda given: str(given)[:30])
def test_mistakes_are_one_message(changes, sections, message):
    with pytest.raises(JobError, match=message):
        parts_of(changes, **sections)


def test_a_plan_needs_no_model_but_counts():
    schedule, world = foresee(job_of())
    assert world.clients == 5
    with pytest.raises(JobError, match="add up"):
        foresee(job_of(partition={"clients": 4}))


def test_architectures_with_nothing_in_common_are_a_note():
    apart = {"models": [SMALL, {"name": "mlp", "hidden": [7], "count": 3}]}
    parts = parts_of(apart)
    assert "have no tensor in common" in parts.world.family.note
    assert torch.isfinite(final(parts)[0]).all()
