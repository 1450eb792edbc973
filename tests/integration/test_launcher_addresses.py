"""Where the ranks of a round meet: names that lie for a while, addresses that do not answer, workers of older rounds."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from integration.launcher_faults import read_parent
from integration.launcher_names import ENV_RECORDS, NAME
from integration.launcher_pods import BlackHole, Cluster, Cut, Pod, build_run, find_port, find_worker, wait_until
from rfdetr_contract.report import ExitCode, FailureReason
from rfdetr_trainer.launch.stacks import is_stopped
from rfdetr_trainer.rendezvous import wait_for_store

Make = Callable[..., Cluster]
FIRST, SECOND = "127.0.0.3", "127.0.0.4"  # of rank 0's pods, as the other node reaches them
LIE_SECONDS = 6.0  # a name's record is that old at most


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds clusters of two nodes whose workers meet at torch's store."""
    made: list[Cluster] = []

    def build(toy: dict[str, object], **limits: float) -> Cluster:
        environ = {"RFDETR_WORKER_MODULE": "integration.launcher_store", ENV_RECORDS: str(tmp_path / "records")}
        run = build_run(2, 1, "auto", "u1", **limits)
        made.append(Cluster(tmp_path, run, {"seconds": 0.02, **toy}, environ=environ))
        return made[-1]

    yield build
    for cluster in made:
        cluster.close()


def record(cluster: Cluster, *addresses: str) -> float:
    """The name means these addresses from now on; the time."""
    path = cluster.folder / "records"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({NAME: addresses}))
    fresh.rename(path)
    return time.monotonic()


def find_place(pod: Pod, rank: int, generation: int) -> str:
    """The address at which a worker looks for its round's store."""
    return pod.wait_for(rf"^\[rank {rank}\] generation {generation} pid \d+ meets at (.*):\d+$").group(1)


def test_a_name_that_means_a_dead_pod_for_a_while_costs_that_while_and_no_more(make: Make) -> None:
    """Rank 0's pod is replaced, and its old address swallows what is sent there.

    The other launcher asks anew at each try; no worker asks at all, since the name lies again once they have met.
    """
    cluster = make({"steps": 100})
    cluster.launcher, cluster.master = "integration.launcher_names", NAME
    port = find_port()
    with ExitStack() as network:
        record(cluster, FIRST)
        alive = Cut(cluster.port, (FIRST, port))
        first, other = cluster.start(0), cluster.start(1, port=port)
        other.wait_for("generation 1 step 20$")

        first.kill()
        alive.close()
        network.enter_context(closing(BlackHole((FIRST, port))))
        network.enter_context(closing(Cut(cluster.port, (SECOND, port))))
        second = cluster.start(0)
        time.sleep(LIE_SECONDS)
        true = record(cluster, SECOND)
        other.wait_for("round 2: 2 ranks")
        record(cluster, FIRST)

        assert [ExitCode.OK, ExitCode.OK] == [second.end(), other.end()]
    assert ["127.0.0.1", FIRST] == [find_place(first, 0, 1), find_place(other, 1, 1)]
    assert ["127.0.0.1", SECOND] == [find_place(second, 0, 2), find_place(other, 1, 2)]
    assert other.time_of("generation 2 step 1$") - true < 8  # one try that was under way, and the meeting


def test_a_worker_of_an_older_round_that_wakes_late_finds_no_store_and_disturbs_nobody(make: Make) -> None:
    """Its whole pod stood still before it had met anybody; those who went on meet at a port that no round had."""
    cluster = make({"steps": 2000, "late": 1}, peer_seconds=2.0)
    first, frozen = cluster.start(0), cluster.start(1)
    late = find_worker(frozen, 1, 1)
    assert wait_until(lambda: is_stopped(late))
    server = read_parent(late)
    with ExitStack() as pod:
        for pid in (server, frozen.process.pid):
            os.kill(pid, signal.SIGSTOP)
            pod.callback(os.kill, pid, signal.SIGKILL)
        cluster.start(1)
        first.wait_for("generation 2 step 10$")

        os.kill(late, signal.SIGCONT)

        told = cluster.folder / "late"
        assert wait_until(told.exists, seconds=20)
        seen = len(first.lines)
        first.wait_for(r"generation 2 step \d+$", start=seen)
    assert told.read_text().startswith(f"{FailureReason.PEER_LOST} DistNetworkError: The client socket has timed out ")
    assert "round 3" not in first.text


def test_a_store_that_is_reached_late_is_asked_often() -> None:
    """The kernel's own tries are ever further apart: the one after the fifth second comes at the seventh."""
    place = ("127.0.0.1", find_port())
    hole = BlackHole(place)
    listening: list[float] = []

    def listen() -> None:
        time.sleep(5.3)
        hole.close()
        with socket.create_server(place) as server:
            listening.append(time.monotonic())
            server.accept()[0].close()

    thread = threading.Thread(target=listen)
    thread.start()
    wait_for_store({"RANK": "1", "MASTER_ADDR": place[0], "MASTER_PORT": str(place[1])}, seconds=20)
    met = time.monotonic()
    thread.join()

    assert met - listening[0] < 1.2
