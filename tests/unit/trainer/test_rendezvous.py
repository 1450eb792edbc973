"""A rank finds rank 0's store as soon as it listens."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from rfdetr_trainer.rendezvous import wait_for_store


def find_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_environ(port: int, rank: int = 1) -> dict[str, str]:
    """What the launcher sets."""
    return {"RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def test_a_late_store_is_met_within_a_moment() -> None:
    """Torch's own client would wait a third of a second after a refusal."""
    port = find_port()
    listening: list[float] = []

    def listen() -> None:
        time.sleep(0.1)
        with socket.create_server(("127.0.0.1", port)) as server:
            listening.append(time.monotonic())
            server.accept()[0].close()

    thread = threading.Thread(target=listen)
    thread.start()
    wait_for_store(build_environ(port), seconds=10)
    met = time.monotonic()
    thread.join()

    assert met - listening[0] < 0.1


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_waits_for_ever(rank: int) -> None:
    """Rank 0 makes the store itself; the others leave it to torch to say that there is none."""
    started = time.monotonic()

    wait_for_store(build_environ(find_port(), rank), seconds=0.05)

    assert time.monotonic() - started < 1
