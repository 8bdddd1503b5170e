"""Connections that were noted can be cut; others stay."""

import socket

import pytest

from hpcfl.transport.connections import FOLDER, Connections


def connected(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(listener.getsockname(), 10)
    return near, listener.accept()[0]


@pytest.mark.skipif(not FOLDER.exists(), reason="this system does not list a process's connections")
def test_only_what_was_noted_for_a_key_is_cut():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        connections = Connections(other.getsockname()[1])
        before, pairs = connected(listener), {}
        for key in ("group", 1):
            with connections.noted(key):
                pairs[key] = connected(listener)
        with connections.noted("group"):
            spared = connected(other)
        connections.cut("group")
        assert [end.recv(1) for end in pairs["group"]] == [b"", b""]
        for near, far in (before, pairs[1], spared):
            near.sendall(b".")
            assert far.recv(1) == b"."
        connections.cut()
        assert pairs[1][0].recv(1) == b""
        for end in (*before, *spared, *pairs["group"], *pairs[1]):
            end.close()
