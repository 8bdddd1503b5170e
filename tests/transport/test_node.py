"""Memory that the ranks of a node share: a place is used again once no tensor lies in it."""

import gc
import os
from pathlib import Path

import pytest
import torch

from hpcfl.transport.node import Memory

SHAPE = (3, 5)


@pytest.fixture
def memory():
    return Memory()


@pytest.mark.parametrize(
    "kept", [lambda tensor: tensor, lambda tensor: tensor[1:], lambda tensor: tensor.view(-1)[-1:]]
)
def test_a_place_is_taken_as_long_as_any_view_of_it_is_there(memory, kept):
    first = memory.empty(SHAPE, torch.float32).fill_(1)
    place, view = first.data_ptr(), kept(first)
    del first
    other = memory.empty(SHAPE, torch.float32).fill_(2)
    assert other.data_ptr() != place
    assert view.eq(1).all()
    del view
    assert memory.empty(SHAPE, torch.float32).data_ptr() == place


def test_a_place_is_used_for_any_tensor_of_as_many_bytes(memory):
    places = {memory.empty(shape, dtype).data_ptr() for shape, dtype in ((SHAPE, torch.float64), ((30,), torch.int32))}
    assert len(places) == 1
    assert memory.empty((31,), torch.int32).data_ptr() not in places


def test_what_is_looked_up_is_the_memory_itself(memory):
    tensor = memory.empty(SHAPE, torch.float32).fill_(1)
    seen = memory.look(memory.name(tensor, 7), tensor)
    tensor[0, 0] = 3
    assert torch.equal(seen, tensor)
    place = tensor.data_ptr()
    del tensor
    assert memory.empty(SHAPE, torch.float32).data_ptr() != place  # it is still looked at


def test_what_others_see_is_shared_as_it_is(memory):
    tensor = memory.empty(SHAPE, torch.float32).fill_(1)
    assert memory.shared(tensor) is tensor
    own = torch.full(SHAPE, 4.0)
    assert memory.shared(own) is not own
    assert torch.equal(memory.shared(own), own)


def test_a_view_with_steps_in_it_is_shared_as_a_copy(memory):
    whole = memory.empty((4, 6), torch.float32).copy_(torch.arange(24.0).view(4, 6))
    for view in (whole[:, ::2], whole.t()):
        seen = memory.look(memory.name(memory.shared(view)), view)
        assert torch.equal(seen, view)


def test_what_is_forgotten_is_closed_and_what_lies_there_stays():
    gc.collect()  # what other tests left open
    before = len(list(Path("/proc/self/fd").iterdir()))
    memory = Memory()
    tensors = [memory.empty(SHAPE, torch.float32).fill_(number) for number in range(3)]
    del memory
    assert [tensor.unique().item() for tensor in tensors] == [0.0, 1.0, 2.0]
    del tensors
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_memory_of_a_process_that_is_gone_is_the_error_of_a_lost_rank(memory):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(RuntimeError, match=f"process {child} is gone"):
        memory.look(torch.tensor([child, 5]), torch.empty(SHAPE))
