"""Smaller uploads: the numbers by hand, what is lost comes later, and without compression nothing changes."""

import copy

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl.build import assemble
from hpcfl.compression import COMPRESSIONS, QSGD, BrainFloat, Half, TopK, Whole, feed_back
from hpcfl.errors import JobError
from hpcfl.federation import build_devices
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.strategies import AFL, QFFL, TWAFL, FedAvg, FedBuff, FedNova, Scaffold

JOB = {
    "rounds": 3,
    "data": {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 4, 4], "classes": 2},
    "partition": {"clients": 3},
    "model": {"name": "mlp", "hidden": [3]},
}


class Draws:
    """A generator whose numbers are given."""

    def __init__(self, *numbers):
        self._numbers = numbers

    def random(self, size, dtype):
        return np.resize(np.array(self._numbers, dtype), size)


BY_HAND = {
    "none": (Whole(), [0.1, -2.0, 3.0], [0.1, -2.0, 3.0], 12),
    "fp16": (Half(), [1 + 2**-11, -1 / 3, 1e6], [1.0, -0.333251953125, 65504.0], 6),
    "bf16": (BrainFloat(), [1 + 2**-9, -1 / 3, 1e6], [1.0, -0.333984375, 999424.0], 6),
    "topk": (TopK(0.34), [0.1, -2.0, 1.9], [0.0, -2.0, 0.0], 8),
    "topk, two": (TopK(0.6), [0.1, -2.0, 1.9], [0.0, -2.0, 1.9], 16),
    # seven levels, so steps of 0.5; 1.2 lies 0.4 of a step above the second, -0.2 0.6 of one above the one below
    "qsgd, down": (QSGD(4), [3.5, 1.2, -0.2], [3.5, 1.0, -0.5], 1.5 + 4),
    "qsgd, up": (QSGD(4), [3.5, 1.2, -0.2], [3.5, 1.5, 0.0], 1.5 + 4),
    "qsgd, zeros": (QSGD(), [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 3 + 4),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_three_elements_by_hand(name):
    compression, given, expected, size = BY_HAND[name]
    draws = Draws(0.999) if name.endswith("up") else Draws(0.0)
    assert compression(torch.tensor(given), draws).tolist() == pytest.approx(expected, rel=1e-7)
    assert compression.bytes(3) == size


@pytest.mark.parametrize("bits", range(4, 9))
def test_random_rounding_is_right_on_average_and_loses_less_than_there_is(bits):
    y = torch.tensor([1.0, -0.3, 0.01, 0.5])
    rounded = torch.stack([QSGD(bits)(y, np.random.default_rng(seed)) for seed in range(4000)])
    assert (rounded.mean(0) - y).abs().max() < 0.01
    worst = torch.full((QSGD.bucket,), 0.5 / (2 ** (bits - 1) - 1))  # half a level, all but the largest
    worst[0] = 1.0
    left = worst - QSGD(bits)(worst, np.random.default_rng(0))
    assert left.norm() < worst.norm()


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_any_length_is_compressed_the_same_way_twice(name):
    for length in (1, 127, 128, 300):
        y = torch.randn(length, generator=torch.Generator().manual_seed(length))
        before = y.clone()
        first, second = (COMPRESSIONS[name]()(y, np.random.default_rng(1)) for _ in range(2))
        assert first.shape == y.shape and first.dtype == torch.float32
        assert torch.equal(first, second)
        assert torch.equal(y, before)


class Given(FedAvg):
    """Clients that change what they get by a fixed vector, instead of training."""

    def local(self, fit, sent, client):
        return {"w": sent["w"] + torch.tensor([3.0, 2.0, 0.5])}


class Someone:
    """As much of a client as the algorithm of these tests uses."""

    def __init__(self):
        self.state = {}

    def stream(self, purpose):
        return Draws(0.0)

    def part(self, sent):
        return sent


def test_what_is_left_out_comes_later():
    strategy, client, w = feed_back(Given(), "topk", TopK(0.34)), Someone(), torch.tensor([1.0, 1.0, 1.0])
    arrived = []
    for _ in range(4):
        arrived.append((strategy.local(None, {"w": w}, client)["w"] - w).tolist())
    # y = change + rest: (3 2 .5) (3 4 1) (6 2 1.5) (3 4 2)
    assert arrived == [[3, 0, 0], [0, 4, 0], [6, 0, 0], [0, 4, 0]]
    assert client.state["left of w"].tolist() == [3.0, 0.0, 2.0]
    assert w.tolist() == [1.0, 1.0, 1.0]


def test_changes_are_compressed_as_they_are_and_other_uploads_not_at_all():
    whole, halved = FedBuff(), feed_back(FedBuff(), "topk", TopK(0.5))
    parts = federation(strategy=halved)
    change = parts.trainer.train(parts.jobs()[0], {"w": parts.world.initial})[0]["change"]
    plain = federation(strategy=whole)
    expected = plain.trainer.train(plain.jobs()[0], {"w": plain.world.initial})[0]["change"]
    assert torch.equal(change, TopK(0.5)(expected, None))
    sent = {"w": parts.world.initial, "c": torch.zeros(parts.world.layout.trainable)}
    uploads = [
        federation(strategy=strategy).trainer.train(parts.jobs()[0], sent)[0]["c"].clone()
        for strategy in (Scaffold(), feed_back(Scaffold(), "fp16", Half()))
    ]
    assert torch.equal(*uploads)


@pytest.mark.parametrize("kind", [FedNova, QFFL, AFL])
def test_only_the_change_of_what_is_no_model_is_compressed(kind):
    parts = federation(strategy=feed_back(kind(), "topk", TopK(0.01)))
    sent = {"w": parts.world.initial, "lam": torch.tensor([0.4, 0.3, 0.2, 0.1])}
    uploads, fit = parts.trainer.train(parts.jobs()[0], sent)
    change = uploads["w"] - parts.trainer.strategy.base(sent, fit.client)
    assert change.count_nonzero() == TopK(0.01).count(len(change))


def test_an_algorithm_keeps_its_fields_and_gets_a_home():
    strategy = feed_back(FedBuff(eta_g=0.5), "fp16", Half())
    assert (strategy.eta_g, strategy.private, strategy.uploads) == (0.5, True, FedBuff.uploads)
    assert isinstance(strategy, FedBuff)


def test_an_algorithm_without_a_model_or_change_is_refused():
    with pytest.raises(
        JobError, match=r"communication.compression = 'topk': the algorithm uploads shallow, deep; only"
    ):
        feed_back(TWAFL(), "topk", TopK())


def build(**communication):
    job = {**copy.deepcopy(JOB), "communication": communication} if communication else JOB
    return assemble(JobFile("", JobSpec.parse(job, "job.toml"), None), torch.device("cpu"), trains=True, serves=False)


def test_none_is_the_algorithm_itself():
    assert type(build(compression="none").strategy) is type(build().strategy) is FedAvg
    assert build(compression={"name": "qsgd", "bits": 5}).strategy.compression == QSGD(5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("fp61", "communication.compression = 'fp61': unknown; did you mean fp16"),
        ({"name": "topk", "share": 0.0}, "communication.compression.share = 0.0: "),
        ({"name": "qsgd", "bits": 3}, "communication.compression.bits = 3: "),
        ({"name": "fp16", "bits": 3}, "communication.compression.bits: unknown key"),
    ],
)
def test_mistakes_are_told(given, message):
    with pytest.raises(JobError, match=message):
        build(compression=given)


def test_on_the_virtual_clock_a_smaller_upload_takes_less_time():
    device = {"seconds_per_step": 0.0, "upload_bandwidth": 100.0}
    for given, seconds in (("none", 40.0), ("bf16", 20.0), ({"name": "topk", "share": 0.1}, 8.0)):
        spec = JobSpec.parse({**JOB, "client": {"device": device}, "communication": {"compression": given}}, "job.toml")
        assert build_devices(spec, 3, 4000.0).duration(0, 0, 1.0) == seconds
