"""One rank: every verb is done before it begins, so that one process is no special case."""

import inspect

import pytest
import torch

from hpcfl.transport.group import Group, Solo, Transport

VERBS = ("broadcast", "reduce", "gather", "send", "recv", "barrier")


def test_verbs_do_nothing():
    tensor = torch.arange(3.0)
    with Solo() as solo:
        solo.broadcast(tensor)
        solo.reduce(tensor)
        solo.barrier()
        assert solo.gather(tensor) == [tensor]
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    solo.reduce(tensor, empty=True)
    assert tensor.tolist() == [0.0, 0.0, 0.0]
    assert (solo.rank, solo.size) == (0, 1)


def test_there_is_nobody_to_talk_to():
    with pytest.raises(ValueError, match="nobody to send to"):
        Solo().send(torch.zeros(1), 1)
    with pytest.raises(ValueError, match="nobody to receive from"):
        Solo().recv(torch.zeros(1), 1)


def test_a_failure_inside_is_not_swallowed():
    with pytest.raises(KeyError), Solo():
        raise KeyError


@pytest.mark.parametrize("kind", [Solo, Group])
@pytest.mark.parametrize("verb", VERBS)
def test_every_transport_has_the_same_verbs(kind, verb):
    taken = [list(inspect.signature(getattr(found, verb)).parameters) for found in (kind, Transport)]
    assert taken[0] == taken[1]
