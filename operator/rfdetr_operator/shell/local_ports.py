"""Ports of one local job, outside the range from which the kernel hands out ports by itself."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable
from pathlib import Path

from rfdetr_operator.shell.local_container import Ports

LOWEST = 10240
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether every address of this machine can be listened on at the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def highest(ephemeral: Path = EPHEMERAL) -> int:
    """The first port that the kernel may hand out by itself."""
    try:
        return int(ephemeral.read_text().split()[0])
    except OSError:
        return 32768


def choose_ports(uid: str, nodes: int, free: Callable[[int], bool] = is_free, end: int | None = None) -> Ports:
    """The rendezvous port and one HTTP port a rank; two jobs begin to look at different places."""
    span = max((end or highest()) - LOWEST, nodes + 1)
    start = zlib.crc32(uid.encode()) % span
    candidates = (LOWEST + (start + step) % span for step in range(span))
    found: list[int] = []
    for port in candidates:
        if free(port):
            found.append(port)
        if len(found) == nodes + 1:
            return Ports(rendezvous=found[0], http=tuple(found[1:]))
    raise OSError(f"no {nodes + 1} free ports between {LOWEST} and {LOWEST + span}")
