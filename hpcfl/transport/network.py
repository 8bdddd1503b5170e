"""Which of a host's networks the ranks use to reach those of other hosts."""

from __future__ import annotations

import socket
from collections.abc import MutableMapping

from hpcfl.errors import JobError

__all__ = ["choose_network", "is_known"]

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Where gloo and NCCL read it."""


def is_known(host: str) -> bool:
    """Whether the name service knows the host; in a container it may not know the one it is asked on."""
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def choose_network(interface: str | None, environ: MutableMapping[str, str]) -> None:
    """Tell gloo and NCCL the interface, where one is given; JobError if this host lacks it, or the one that gloo has.

    gloo itself says only that it finds no address.
    """
    if interface:
        environ.update(dict.fromkeys(VARIABLES, interface))
    said = f"device.interface = {interface!r}" if interface else f"{VARIABLES[0]} = {environ.get(VARIABLES[0])!r}"
    here = [name for _, name in socket.if_nameindex()]
    if missing := set(environ.get(VARIABLES[0], "").split(",")) - {"", *here}:
        raise JobError(f"{said}: {socket.gethostname()} has no network {min(missing)}; valid: {', '.join(here)}")
