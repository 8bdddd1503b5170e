"""The network between hosts: what gloo and NCCL are told, and a name that this host does not know."""

import pytest

from hpcfl.errors import JobError
from hpcfl.transport.network import choose_network


def test_the_setting_wins_over_the_environment():
    environ = {"GLOO_SOCKET_IFNAME": "nonsense"}
    choose_network("lo", environ)
    assert environ == {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


@pytest.mark.parametrize("environ", [{}, {"GLOO_SOCKET_IFNAME": "lo"}, {"NCCL_SOCKET_IFNAME": "^docker"}])
def test_without_one_the_environment_stays(environ):
    before = dict(environ)
    choose_network(None, environ)
    assert environ == before


@pytest.mark.parametrize(
    "interface, environ, said",
    [
        ("ib9", {}, "device.interface = 'ib9': "),
        (None, {"GLOO_SOCKET_IFNAME": "lo,ib9"}, "GLOO_SOCKET_IFNAME = 'lo,ib9': "),
    ],
)
def test_a_network_that_is_not_there_is_told(interface, environ, said):
    with pytest.raises(JobError) as caught:
        choose_network(interface, environ)
    assert str(caught.value).startswith(said)
    assert "has no network ib9; valid: lo" in str(caught.value)
