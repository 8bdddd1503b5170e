"""What rank 0 learns of a rank from its lifeline, and what it answers."""

import socket
from queue import Empty, SimpleQueue
from threading import Thread

import pytest
import torch.distributed as dist

from hpcfl.transport import lifeline
from hpcfl.transport.lifeline import FAILED, HELLO, LEAVES, LIVES, WRONG, Lifeline, Lifelines

LIMIT_S = 20


@pytest.fixture
def store():
    return dist.TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)


def client(store):
    """A rank's own connection: one waits on its connection while others use theirs."""
    return dist.TCPStore("127.0.0.1", store.port, 1, is_master=False, wait_for_workers=False)


def connect(store, rank: int) -> socket.socket:
    """A rank's end, without the thread that says it lives."""
    host, port, token = store.get("lifelines").decode().split()
    line = socket.create_connection((host, int(port)), LIMIT_S)
    line.sendall(f"{token} {rank} 0 ".encode().ljust(HELLO))
    return line


def started(store, *ranks: Thread, silence_s: float = 60.0) -> tuple[Lifelines, SimpleQueue]:
    lost = SimpleQueue()
    for rank in ranks:
        rank.start()
    lines = Lifelines(store, "127.0.0.1", len(ranks) + 1, "", silence_s, lambda *loss: lost.put(loss))
    for rank in ranks:
        rank.join(LIMIT_S)
    return lines, lost


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (LIVES, (1, "rank 1 died: its connection closed", b"")),
        (FAILED, (1, "rank 1 failed", FAILED)),
        (LIVES + WRONG, (1, "rank 1 failed", WRONG)),
        (LIVES + LEAVES, None),
    ],
)
def test_how_a_rank_goes(store, last, loss):
    ends = []
    lines, lost = started(store, Thread(target=lambda: ends.append(connect(client(store), 1))))
    assert lines.living == [1]
    ends[0].sendall(last)
    ends[0].close()
    if loss:
        assert lost.get(timeout=LIMIT_S) == loss
    while lines.living:
        pass
    with pytest.raises(Empty):
        lost.get_nowait()


def test_a_rank_that_says_nothing_hangs_and_one_that_lives_does_not(store, monkeypatch):
    monkeypatch.setattr(lifeline, "PULSE_S", 0.2)
    ends = []
    hangs = Thread(target=lambda: ends.append(connect(client(store), 1)))
    lives = Thread(target=lambda: ends.append(Lifeline.to(client(store), 2, "", print)))
    lines, lost = started(store, hangs, lives, silence_s=1.0)
    assert lost.get(timeout=LIMIT_S) == (1, "rank 1 hangs: no sign of life for 1 s", b"")
    assert lines.living == [2]
    lines.leave()


def test_all_hear_what_is_cut(store):
    cut = SimpleQueue()
    lines, _ = started(store, *(Thread(target=Lifeline.to, args=(client(store), rank, "", cut.put)) for rank in (1, 2)))
    lines.tell("cut 3")
    assert [cut.get(timeout=LIMIT_S) for _ in range(2)] == [3, 3]
    lines.leave()


def test_strangers_are_not_heard(store):
    def stranger():
        host, port, _ = client(store).get("lifelines").decode().split()
        with socket.create_connection((host, int(port)), LIMIT_S) as line:
            line.sendall(b"0 1 0 ".ljust(HELLO))
        ends.append(connect(client(store), 1))

    ends = []
    lines, lost = started(store, Thread(target=stranger))
    assert lines.living == [1]
    lines.leave()
    assert lost.empty()
