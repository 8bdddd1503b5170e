"""What travels between ranks, with lengths and numbers out of range: a ValueError in a sentence, no large memory."""

import pytest
import torch
from cases import UNLIMITED, share
from hypothesis import given
from hypothesis import strategies as st
from probes import WORLD

from hpcfl.answers import send_answer
from hpcfl.compression import COMPRESSIONS
from hpcfl.messages import HEAD
from hpcfl.orders import STOP, Keep, Order, say_order

pytestmark = UNLIMITED

W, C = torch.arange(5.0), torch.tensor([[1.5, 2.5]])
BIG = torch.zeros(3 * HEAD)
PARCELS = {0: {"w": W}, 1: {"w": W, "c": C}, 2: {"w": W, "big": BIG}, 3: {}}
NUMBERS = st.sampled_from(
    [-(2**63), -(2**31), -3, -2, -1, 0, 1, 2, 3, 5, 6, 7, 8, 255, 2**20, 2**31, 2**40, 2**62, 2**63 - 1]
)
WORDS = NUMBERS | st.integers(-(2**63), 2**63 - 1)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "set", "set", "drop", "add"]), st.floats(0, 1), WORDS), min_size=1, max_size=3
)
UPLOADS = st.lists(st.floats(width=32), min_size=1, max_size=300)
TOGETHER = 10
CUTS = st.sampled_from([None] * 6 + [0, 1, 2])


def said(action, *given):
    """The messages, as lists of int64 words."""
    messages = []

    def send(tensor):
        flat = tensor.contiguous().view(-1).view(torch.uint8)
        padded = torch.zeros(-(-len(flat) // 8) * 8, dtype=torch.uint8)
        padded[: len(flat)] = flat
        words = padded.view(torch.int64).tolist()
        while words and not words[-1]:  # what is missing at the end is zero
            words.pop()
        messages.append(words)

    action(*given, send)
    return messages


def order(clients, **more):
    return Order.of([WORLD.job(client, 1, 0.5 * client) for client in clients], PARCELS.get, **more)


ORDERS = [
    order([0]), order([2, 0, 1]), order([3]), order([1, 3], after={1: 2, 3: 0}), Keep(2, (1, 0, 3)), STOP,
]  # fmt: skip


def damaged(messages, changes, cut):
    """Changes fall where the words are; the head is mostly empty."""
    head = messages[0] + [0] * 420
    used = min(HEAD, 1 + max(8, min(head[0], 400)))
    for what, where, word in changes:
        at = int(where * (used - 1))
        if what == "set":
            head[at] = word
        elif what == "drop":
            head = [*head[:at], *head[at + 1 :]]
        else:
            head = [*head[:at], word, *head[at:]]
    return [head, *messages[1:]][:cut]


def several(*of):
    """As many cases as share a process."""
    return st.lists(st.tuples(*of), min_size=TOGETHER, max_size=TOGETHER)


@share(0.11, TOGETHER)
@given(several(st.sampled_from(ORDERS), CHANGES, CUTS))
def test_orders(forge, cases):
    heard = [[damaged(said(say_order, order), changes, cut)] for order, changes, cut in cases]
    forge.each("orders", ".", "hear_messages", heard)


class Channel:
    """Keeps what is sent."""

    def __init__(self):
        self.sent = []

    def send(self, tensor):
        self.sent += said(lambda send: send(tensor))


ANSWERS = [
    ({"w": W, "c": C}, None), ({"w": BIG, "c": torch.zeros(())}, None), ({}, "ValueError: no power"),
    ({"w": torch.zeros(0, 3), "c": torch.zeros(2, 1, 1, 1, 1, 1, 2)}, None),
]  # fmt: skip
FLOATS = st.sampled_from([float("nan"), float("inf"), -1.0, 0.5, 1.0, 2.0, 7.0, 8.0, 1e9, 1e18, 1e300])


def damaged_answer(answer, changes, floats, cut):
    """Words, or numbers that are no words."""
    channel = Channel()
    send_answer(channel, ["c", "w"], [3.0, 0.5, 0.1], *answer)
    messages = damaged(channel.sent, changes if not floats else [], cut)
    for at, number in floats if messages else ():
        messages[0][1 + at] = torch.tensor([number], dtype=torch.float64).view(torch.int64).item()
    return messages


@share(0.11, TOGETHER)
@given(several(st.sampled_from(ANSWERS), CHANGES, st.lists(st.tuples(st.integers(0, 21), FLOATS), max_size=3), CUTS))
def test_answers(forge, cases):
    forge.each("answers", ".", "hear_messages", [[damaged_answer(*case), ["c", "w"]] for case in cases])


@share(0.02, TOGETHER)
@given(several(st.sampled_from([*COMPRESSIONS]), UPLOADS))
def test_uploads_that_are_compressed(forge, cases):
    forge.each("compression", ".", "compress", cases)


@pytest.mark.parametrize("sent", ORDERS)
def test_what_is_not_damaged_is_heard(forge, tmp_path, sent):
    forge.runs("orders", tmp_path, "hear_messages", said(say_order, sent))


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_that_are_not_damaged_are_heard(forge, tmp_path, answer):
    channel = Channel()
    send_answer(channel, ["c", "w"], [3.0, 0.5, 0.1], *answer)
    forge.runs("answers", tmp_path, "hear_messages", channel.sent, ["c", "w"])
