"""Who is let in, and who is not: nobody's failure is another's."""

import socket
from queue import Empty, SimpleQueue

import pytest

from hpcfl.errors import JobError
from hpcfl.transport.door import HELLO, Address, Door, hear, say

LIMIT_S = 20


@pytest.fixture
def guests():
    """(address, the connections that were let in)."""
    found = SimpleQueue()
    entrance = Door("127.0.0.1", lambda line: found.put(line) is None)
    yield entrance.address, found
    entrance.close()


def connect(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), LIMIT_S)


def test_who_knows_the_secret_is_let_in_and_both_understand_one_another(guests):
    address, found = guests
    line = connect(Address.parse(f"{address}\n"))
    say(line, secret=address.secret)
    inside = found.get(timeout=LIMIT_S)
    facts = {"job": {"name": "x" * 100_000, "rate": 0.1, "list": [1, None, True]}}
    say(inside, **facts)
    assert hear(line) == facts
    line.close()
    with pytest.raises(ConnectionError):
        hear(inside)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\2[]",
        b"\0\0\0\2{}",
        b'\0\0\0\x0c{"secret":1}',
        b'\0\0\0\x11{"secret": "wrong',
        b"\0\0\0\1\xff",
        (HELLO + 1).to_bytes(4, "big"),
    ],
)
def test_strangers_find_a_door_that_closes(guests, said):
    address, found = guests
    with connect(address) as line:
        line.sendall(said)
        line.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match="closed|reset"):
            hear(line)
    with pytest.raises(Empty):
        found.get_nowait()


def test_who_says_nothing_does_not_keep_the_others_out(guests):
    address, found = guests
    with connect(address), connect(address) as line:
        say(line, secret=address.secret)
        assert found.get(timeout=LIMIT_S)


def test_a_closed_door(guests):
    address, _ = guests
    other = Door("127.0.0.1", print)
    other.close()
    with pytest.raises(OSError, match="refused|reset|closed"):
        hear(connect(other.address))


@pytest.mark.parametrize("text", ["", "n1", "n1:5", "n1:5/", ":5/ab", "n1:x/ab", "n1:99999/ab", "n1/ab", "\0"])
def test_what_is_no_address_is_one_message(text):
    with pytest.raises(JobError, match=r"is neither HOST:PORT/SECRET nor a file"):
        Address.parse(text)


def test_an_address_is_found_in_its_file(tmp_path):
    file = tmp_path / "run.h5.join"
    file.write_text("n1:20000/ab\n")
    assert Address.parse(str(file)) == Address("n1", 20000, "ab")
    assert str(Address.parse(str(file))) == "n1:20000/ab"
    file.write_bytes(b"\xff")
    with pytest.raises(JobError, match="cannot be read"):
        Address.parse(str(file))
