"""Orders that travel between ranks are what was meant."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpcfl.core import World
from hpcfl.devices import Devices
from hpcfl.messages import HEAD, say
from hpcfl.orders import IDLE, STOP, Keep, Order, decode, encode, hear_order, say_order
from hpcfl.record import NOW

CPU = torch.device("cpu")
W, C, BIG = torch.arange(5.0), torch.tensor([[1.5, 2.5]]), torch.zeros(2, 1, 3, 2)
STEPS, MASK, EXACT = torch.tensor(7), torch.tensor([1, 0], dtype=torch.uint8), torch.ones(3, dtype=torch.float64)
PARCELS = {
    0: {"w": W},
    1: {"w": W, "c": C},
    2: {"w": W},
    3: {"control variate of the server...": BIG, "steps": STEPS, "ünïcode": MASK, "exact": EXACT},
    4: {"c": C, "w": W},
    5: {},
}


@pytest.fixture
def world():
    return World(0, 3, np.arange(1, 13).reshape(6, 2), 4, (1, 3), Devices.alike(6, 0.1))


@pytest.fixture
def order(world):
    return Order.of([world.job(client, 2, 0.1 + 0.2 * client) for client in (3, 0, 1, 2, 5, 4)], PARCELS.get)


def test_parcels_and_tensors_travel_once(order):
    assert len(order.parcels) == 4
    assert [id(tensor) for tensor in order.tensors()] == [id(tensor) for tensor in (BIG, STEPS, MASK, EXACT, W, C)]
    assert order.parcel_of[0] == order.parcel_of[2]
    assert order.parcel_of[1] == order.parcel_of[4]
    assert order.sent(order.jobs[2]) == PARCELS[1]


def test_round_trip(order, world):
    words = encode(order)
    assert words.dtype == np.int64
    arrived = decode(words.tolist(), world, CPU)
    assert arrived.jobs == order.jobs
    assert arrived.parcel_of == order.parcel_of
    for sent, received in zip(order.tensors(), arrived.tensors(), strict=True):
        assert (sent.shape, sent.dtype) == (received.shape, received.dtype)
        received.copy_(sent)
    for job in order.jobs:
        parcel = arrived.sent(job)
        assert parcel.keys() == PARCELS[job.client].keys()
        assert all(torch.equal(parcel[name], tensor) for name, tensor in PARCELS[job.client].items())
    by_client = {job.client: arrived.sent(job) for job in arrived.jobs}
    assert by_client[0]["w"] is by_client[1]["w"]
    assert by_client[1] is by_client[4]


def test_a_job_does_not_travel_but_follows_from_its_address(order, world):
    assert all(world.job(job.client, job.version, job.start) == job for job in order.jobs)
    assert {job.epochs for job in order.jobs} > {1}


@pytest.mark.parametrize("damage", ["short", "long", "counts", "declared"])
def test_a_wrong_length_is_refused(order, world, damage):
    words = encode(order).tolist()
    if damage == "short":
        words.pop()
    elif damage == "long":
        words.append(0)
    elif damage == "counts":
        words[0] += 1
    else:
        words[3] += 1
    with pytest.raises(ValueError, match=f"an order of {len(words) - 4} words"):
        decode(words, world, CPU)


@pytest.mark.parametrize(
    ("place", "word", "says"),
    [
        (0, -1, "an order of 20 words does not hold"),
        (4, 6, "an order names the client 6; valid is from 0 to before 6"),
        (4, -1, "the client -1"),
        (5, 4, "the step 4"),
        (5, -1, "the step -1"),
        (6, -1, "the visit -1"),
        (7, torch.tensor([float("nan")], dtype=torch.float64).view(torch.int64).item(), "starts at nan"),
        (8, 0, "the number of epochs 0"),
        (8, 2**62, "the number of epochs"),
        (9, torch.tensor([-0.5], dtype=torch.float64).view(torch.int64).item(), "a learning rate of -0.5"),
        (10, 2, "the parcel 2"),
        (10, 2**62, "the parcel"),
        (11, -(2**63), "the number of jobs"),
        (12, 4, "the type 4"),
        (12, -1, "the type -1"),
        (13, 5, "is no shape"),
        (13, -1, "is no shape"),
        (14, -5, "is no shape"),
        (14, 2**62, "no memory for it"),
        (14, 2**45, "no memory for it"),
        (18, 7, "an order names the parcel 7"),
        (19, 2, "the tensor 2"),
        (20, -1, "which is no text"),
    ],
)
def test_numbers_that_name_nothing_are_refused(world, place, word, says):
    words = encode(Order.of([world.job(0, 2, 0.5)], lambda client: {"w": W})).tolist()
    words[place] = word
    with pytest.raises(ValueError, match=says):
        decode(words, world, CPU)


def test_clients_are_examined_as_they_are_now(world):
    order = Order.of([world.job(0, 2, 0.5)], lambda client: {"w": W}, after={0: NOW})
    assert decode(encode(order).tolist(), world, CPU).after == {0: NOW}
    trains = replace(Order.of([world.job(0, 2, 0.5)], lambda client: {"w": W}), combined={0: NOW})
    assert decode(encode(trains).tolist(), world, CPU).combined == {0: NOW}


def test_a_tensor_that_no_parcel_holds_is_refused(world):
    words = encode(Order.of([world.job(0, 2, 0.5)], lambda client: {"c": C, "w": W})).tolist()
    words[31] = 0
    with pytest.raises(ValueError, match="brings 2 tensors, and its parcels hold 1 of them"):
        decode(words, world, CPU)


@pytest.mark.parametrize("words", [[], [1], [-2], [-2, 9], [-2, 1, -1], [7, 7]])
def test_words_that_are_no_order(world, words):
    sent = []
    say(np.array(words, np.int64), (), sent.append)
    with pytest.raises(ValueError, match="an order"):
        hear_order(lambda tensor: tensor.copy_(sent.pop(0)), world, CPU)


@pytest.mark.parametrize("words", [[0, 0, 0, 0, 0], [1, 1, 1, 20], [-2, 1, *[0] * 6]])
def test_more_words_than_an_order_holds(world, words):
    """What is behind the first four is looked at once they say that it is there: lists take four times the room."""
    sent = []
    say(np.concatenate([words, np.ones(HEAD, np.int64)]), (), sent.append)
    with pytest.raises(ValueError, match="does not hold"):
        hear_order(lambda tensor: tensor.copy_(sent.pop(0)), world, CPU)


@pytest.mark.parametrize("tensor", [torch.zeros(1, 1, 1, 1, 1), torch.zeros(2, dtype=torch.bool)])
def test_a_tensor_that_cannot_be_described_is_refused(world, tensor):
    with pytest.raises(ValueError, match="cannot be sent"):
        encode(Order.of([world.job(0, 0, 0.0)], lambda client: {"w": tensor}))


def test_a_name_that_is_too_long_is_refused(world):
    with pytest.raises(ValueError, match="longer than 32 bytes"):
        encode(Order.of([world.job(0, 0, 0.0)], lambda client: {"x" * 33: W}))


@pytest.mark.parametrize("given", [IDLE, STOP])
def test_an_order_is_heard_or_that_there_is_none(order, world, given):
    messages = []
    for said in (given, order):
        say_order(said, messages.append)
        heard = hear_order(lambda tensor: tensor.copy_(messages.pop(0)), world, CPU)
        if said is order:
            assert heard.jobs == order.jobs
            assert all(map(torch.equal, heard.tensors(), order.tensors()))
        else:
            assert heard == given


def test_what_is_to_be_kept(world):
    sent = []
    say_order(keep := Keep(3, (1, 0, 2**62)), sent.append)
    assert hear_order(lambda tensor: tensor.copy_(sent.pop(0)), world, CPU) == keep


def test_how_many_jobs_the_server_has_combined(world):
    jobs = [world.job(client, 2, 0.5) for client in (1, 4)]
    order = replace(Order.of(jobs, PARCELS.get), combined={1: 3, 4: 0})
    arrived = decode(encode(order).tolist(), world, CPU)
    assert (arrived.combined, arrived.after) == ({1: 3, 4: 0}, None)
