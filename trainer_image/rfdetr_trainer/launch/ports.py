"""Ports: one listening socket for both address families, and a free port for a round's store."""

from __future__ import annotations

import errno
import socket


def listen(port: int) -> socket.socket:
    """A listening socket on every address; ``port`` 0 takes any free one."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    return socket.create_server(("", port))


def find_free_port() -> int:
    """A port that nobody listens on now."""
    with listen(0) as probe:
        return int(probe.getsockname()[1])
