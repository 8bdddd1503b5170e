"""Run by test_mpi_verbs.py on every rank: the six verbs of the transport, checked.

Arguments are the name of each rank's node, where the test pretends that there are several; "" sees no other's memory.
"""

import os
import sys

import torch

from hpcfl.launch import detect
from hpcfl.runner import connect
from hpcfl.transport.group import Group
from hpcfl.transport.node import LEAST, PIECE
from hpcfl.transport.rendezvous import meet

placement = detect(os.environ)
rendezvous = meet(placement)
assert rendezvous.exchange(f"I am {placement.rank}") == [f"I am {rank}" for rank in range(placement.size)]
CPU, nodes = torch.device("cpu"), sys.argv[1:]


def join():
    if nodes:
        return Group(placement, rendezvous.store(), CPU, 60.0, place=nodes[placement.rank])
    return connect(placement, rendezvous, CPU, 60.0)


with join() as transport:
    rank, size = transport.rank, transport.size
    assert (rank, size) == (placement.rank, placement.size)
    for dtype in (torch.float32, torch.float64, torch.int64, torch.uint8):
        told = torch.full((2, 3), 5 if rank == 0 else 0, dtype=dtype)
        transport.broadcast(told)
        assert told.eq(5).all()
        total = torch.full((4,), rank + 1, dtype=dtype)
        transport.reduce(total)
        assert rank or total.eq(size * (size + 1) // 2).all()
        parts = transport.gather(torch.full((2,), rank, dtype=dtype))
        assert [part.tolist() for part in parts] == ([[k, k] for k in range(size)] if rank == 0 else [])
        given = torch.zeros(3, dtype=dtype)
        if rank == 0:
            for other in range(1, size):
                transport.send(torch.full((3,), other, dtype=dtype), other)
            for other in range(1, size):
                transport.recv(given, other)
                assert given.eq(other + 10).all()
        else:
            transport.recv(given, 0)
            transport.send(given + 10, 0)
            if rank + 1 < size:
                transport.send(torch.full((3,), rank, dtype=dtype), rank + 1)
            if rank > 1:
                transport.recv(given, rank - 1)
                assert given.eq(rank - 1).all()
    for dtype, length in ((torch.int64, PIECE + 5), (torch.float32, LEAST // 4), (torch.uint8, LEAST + 1)):
        first = torch.arange(length).remainder(7).to(dtype)
        told = first if rank == 0 else torch.zeros_like(first)
        transport.broadcast(told)
        assert torch.equal(told, first)
        for total in (transport.zeros((length,), dtype=dtype, device=CPU), torch.zeros(length, dtype=dtype)):
            for turn in range(2):  # in the same memory
                total.copy_(first + rank + turn)
                transport.reduce(total)
                assert rank or torch.equal(total, first * size + size * (size - 1) // 2 + size * turn)
    transport.barrier()
os.write(1, f"rank {rank} of {size} done\n".encode())  # at once: ranks share the stream
