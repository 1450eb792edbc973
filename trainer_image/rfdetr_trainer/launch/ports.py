"""Ports: one listening socket for both address families, and a free port for a round's store."""

from __future__ import annotations

import errno
import socket
from collections.abc import Set as AbstractSet


def listen(port: int) -> socket.socket:
    """A listening socket on every address; ``port`` 0 takes any free one."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    return socket.create_server(("", port))


def find_free_port(used: AbstractSet[int]) -> int:
    """A port that nobody listens on now, and that is none of those used before."""
    while True:
        with listen(0) as probe:
            port = int(probe.getsockname()[1])
        if port not in used:
            return port
