"""What a job asks of its device: what it does there, or the one message that it cannot."""

import math

import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.acceleration import Execution
from hpcfl.batched import Batched
from hpcfl.build import assemble
from hpcfl.captured import Eager
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile
from hpcfl.recorded import RecordedBatched
from hpcfl.schema import Device, JobSpec
from hpcfl.sgd import SGD
from hpcfl.strategies import FedAvg, Scaffold

CPU = torch.device("cpu")
JOB = {
    "rounds": 2,
    "data": {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 8, 8], "classes": 3},
    "partition": {"clients": 3},
    "model": {"name": "cnn", "channels": [3, 4], "hidden": 5},
    "client": {"batch_size": 8},
}


def assembled(device, **changes):
    spec = JobSpec.parse({**JOB, **changes, "device": device}, "job.toml")
    return assemble(JobFile("", spec, None), CPU, trains=True, serves=True)


def trained(parts):
    sent = {"w": parts.world.initial}
    return parts.trainer.train(parts.world.job(0, 0, 0.0), sent)[0]["w"].clone()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"precision": "tf32"}, r'device.precision = "tf32": needs a GPU, .* valid here: fp32, bf16'),
        ({"graphs": True}, r'device.graphs = true: needs a GPU, .* valid here: "auto", false'),
        ({"streams": 2}, r'device.streams = 2: needs a GPU, .* valid: "auto", 1'),
        ({"streams": 17}, "device.streams = 17: should be 1 to 16 or 'auto'$"),
        ({"streams": True}, "device.streams = True: should be 1 to 16 or 'auto'$"),
        ({"precision": "fp16"}, "device.precision = 'fp16'"),
        ({"graphs": "never"}, "device.graphs = 'never': should be true, false or 'auto'$"),
        ({"channels_last": 1}, "device.channels_last = 1: should be true, false or 'auto'$"),
    ],
)
def test_what_this_device_cannot_do_is_one_message(device, message):
    with pytest.raises(JobError, match=message):
        assembled(device)


def test_channels_last_without_convolutions_is_one_message():
    with pytest.raises(JobError, match="device.channels_last = true: the model has no 2-D convolution"):
        assembled({"channels_last": True}, model={"name": "mlp", "hidden": [4]})


def test_defaults_leave_the_bits_of_a_cpu_as_they_are():
    plain = trained(assembled({}))
    for device in ({"precision": "fp32", "graphs": False, "streams": 1}, {"channels_last": True}):
        assert torch.equal(trained(assembled(device)), plain)
    assert torch.allclose(trained(assembled({"channels_last": False})), plain, atol=1e-6)


def test_bf16_keeps_weights_and_logits_in_float32_and_is_near():
    plain, narrow = assembled({}), assembled({"precision": "bf16"})
    exact, rounded = trained(plain), trained(narrow)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    moved = (exact - plain.world.initial).norm()
    assert (rounded - exact).norm() < 0.2 * moved
    x, _ = narrow.test.batch(slice(2))
    assert narrow.trainer.module(x).dtype == torch.float32
    assert narrow.world.layout == plain.world.layout
    assert math.isclose(narrow.evaluate(10)(exact)[0], plain.evaluate(10)(exact)[0], rel_tol=0.01)


def test_bf16_in_a_program_of_many_clients():
    changes = {"model": {"name": "mlp", "hidden": [4]}}
    found = []
    for precision in ("fp32", "bf16"):
        parts = assembled({"precision": precision}, **changes)
        jobs = [parts.world.job(client, 0, 0.0) for client in range(3)]
        found.append(parts.batched.train(jobs, [{"w": parts.world.initial}] * 3).uploads["w"].clone())
    moved = (found[0] - parts.world.initial).norm()
    assert 0 < (found[1] - found[0]).norm() < 0.2 * moved


@pytest.mark.slow
def test_a_compiled_model_makes_the_same_steps():
    changes = {"model": {"name": "mlp", "hidden": [4]}}
    try:
        compiled = assembled({"compile": True}, **changes)
    except JobError as refusal:
        assert "device.compile = true: PyTorch's compiler does not work here" in str(refusal)
        pytest.skip(str(refusal))
    assert compiled.batched is None
    plain = assembled({}, **changes)
    assert torch.allclose(trained(compiled), trained(plain), atol=1e-6)
    assert compiled.evaluate(10)(plain.world.initial) == pytest.approx(plain.evaluate(10)(plain.world.initial))


def test_where_the_compiler_does_not_work_is_one_message(monkeypatch):
    def broken(module):
        raise RuntimeError("no C++ compiler was found\nlook for one")

    monkeypatch.setattr(nn.Module, "compile", broken)
    with pytest.raises(JobError, match="device.compile = true: .* no C.. compiler was found; leave it false"):
        assembled({"compile": True})


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 3))


class Dropping(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))


class Nosy(FedAvg):
    def loss(self, logits, labels, client):
        return client.loss(logits, labels) * (1 + client.id)


class NoStreams:
    """A device without any: everything in the order in which it was asked for."""

    @staticmethod
    def stream():
        return None

    @staticmethod
    def graph(stream):
        return Eager()


def execution(device, batch=None, **changes):
    parts = federation(**{"module": Plain, "optimizer": SGD, **changes})
    taken = Execution(parts.trainer, batch and batch(parts.trainer, 4)).take(parts.world, Device(**device), NoStreams())
    return parts, taken


CASES = {
    "auto": ({}, {}, "sequential, captured, 4 streams"),
    "one stream": ({"streams": 1}, {}, "sequential, captured"),
    "no graphs": ({"graphs": False}, {}, "sequential"),
    "streams alone": ({"graphs": False, "streams": 3}, {}, "sequential, 3 streams"),
    "random numbers": ({"streams": 3}, {"module": Dropping}, "sequential, captured"),
    "private state": ({"streams": 3}, {"strategy": Scaffold()}, "sequential, captured"),
    "optimizer": (
        {},
        {"optimizer": torch.optim.RMSprop},
        "sequential, not captured: torch's RMSprop may not keep still",
    ),
    "a client's number": ({}, {"strategy": Nosy()}, "sequential, not captured: the algorithm looks at client.id"),
    "program": ({}, {"batch": RecordedBatched}, "batched, 4, captured"),
    "program of another loss": ({}, {"batch": Batched}, "batched, 4, not captured: a program of many clients needs"),
}


@pytest.mark.parametrize("case", CASES)
def test_graphs_and_streams_are_taken_where_they_can_be(case):
    device, changes, said = CASES[case]
    parts, taken = execution(device, **changes)
    assert str(taken).startswith(said)
    plain = federation(**{"module": Plain, "optimizer": SGD, **{k: v for k, v in changes.items() if k != "batch"}})
    sent = parts.trainer.strategy.send(parts.trainer.strategy.init(parts.world), 0)
    for client in (2, 0, 2):
        job = parts.world.job(client, 0, 0.0)
        assert torch.equal(*(each.trainer.train(job, sent)[0]["w"].clone() for each in (parts, plain)))


def test_a_graph_that_must_be_and_cannot_is_one_message():
    with pytest.raises(JobError, match="device.graphs = true: the algorithm looks at client.id"):
        execution({"graphs": True}, strategy=Nosy())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["", "captured", "captured"], "sequential, captured, 4 streams"),
        (["", "captured", "out of memory"], "sequential, not captured: out of memory, 4 streams"),
        ([""], "sequential, 4 streams"),
    ],
)
def test_all_ranks_capture_or_none(said, words):
    parts, taken = execution({})
    taken.settle(said)
    assert str(taken) == words
    assert torch.equal(parts.train(1), federation(module=Plain, optimizer=SGD).train(1))


@pytest.mark.parametrize(
    ("size", "words"), [(4, "batched, 4, captured"), (2, "batched, 2, not"), (0, "sequential, not")]
)
def test_a_run_that_goes_on_keeps_its_programs(size, words):
    _, taken = execution({}, batch=RecordedBatched)
    taken.take_over(size)
    assert str(taken).startswith(words)
