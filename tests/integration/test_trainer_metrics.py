"""A launcher's port while it runs: sound to scrape, and no client of it costs a heartbeat."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from exposition_check import list_problems
from integration.launcher_pods import Cluster, Pod, build_run, find_worker
from rfdetr_contract.metrics import TRAINER
from rfdetr_contract.report import RunReport

HAMMERS = 4
SLOW_CLIENTS = 90  # more than are served at once
SECONDS = 6.0  # three times what makes a peer lost in this run


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes that take each other for lost after two seconds of silence."""
    made = Cluster(tmp_path, build_run(peer_seconds=2), {"steps": 100000, "seconds": 0.01, "every": 20})
    yield made
    made.close()


def find_port(pod: Pod) -> int:
    """Where it serves."""
    return int(pod.wait_for(r"serving /metrics on port (\d+)").group(1))


def fetch(port: int, path: str) -> str:
    """What it answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def read_slowly(port: int, until: float) -> None:
    """A byte a second, and the request no faster than that; closed by the other side, it comes again."""
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.sendall(b"GET /metrics HTTP/1.1\r\n" if id(client) % 2 else b"GET /metrics HTTP/1.1\r\n\r\n")
            while time.monotonic() < until and client.recv(1):
                time.sleep(1)


def hammer(port: int, until: float, answered: list[float]) -> None:
    """As fast as it goes."""
    while time.monotonic() < until:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            fetch(port, "/metrics")
            answered.append(time.monotonic() - began)


def test_a_running_launcher_is_sound_to_scrape_and_its_counts_survive_its_workers(cluster: Cluster) -> None:
    """Before and after a worker is killed: the contract's names, and every counter at least where it was."""
    pods = [cluster.start(0), cluster.start(1)]
    find_worker(pods[0], 0, 1)
    pods[0].wait_for(r"\[rank 0\] generation 1 step 20$")
    before = fetch(find_port(pods[0]), "/metrics")
    os.kill(find_worker(pods[1], 1, 1), signal.SIGKILL)
    pods[0].wait_for(r"\[rank 0\] generation 2 step")
    after = fetch(find_port(pods[0]), "/metrics")

    assert ([], []) == (list_problems(before, TRAINER), list_problems(after, TRAINER))
    assert {} == find_falls(before, after)
    assert 'rfdetr_process_restarts_total{reason="Crashed"} 1.0' in after.splitlines()


def find_falls(before: str, after: str) -> dict[str, tuple[float, float]]:
    """Counters that went down."""
    first, second = read_counters(before), read_counters(after)
    return {key: (value, second[key]) for key, value in first.items() if second[key] < value}


def read_counters(text: str) -> dict[str, float]:
    """Every counter's value."""
    names = tuple(metric.name for metric in TRAINER if metric.kind != "gauge")
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(names)]
    return {series: float(value) for series, _, value in lines}


def test_neither_slow_nor_greedy_clients_cost_a_heartbeat(cluster: Cluster) -> None:
    """For three times as long as makes a peer lost; the round goes on, and who asks for the report has it in a second."""
    pods = [cluster.start(0), cluster.start(1)]
    pods[0].wait_for(r"\[rank 0\] generation 1 step 20$")
    port, until, answered = find_port(pods[0]), time.monotonic() + SECONDS, list[float]()
    clients = [threading.Thread(target=read_slowly, args=(port, until)) for _ in range(SLOW_CLIENTS)]
    clients += [threading.Thread(target=hammer, args=(port, until, answered)) for _ in range(HAMMERS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    report = RunReport.model_validate_json(fetch(port, "/report"))
    print(f"\n{len(answered)} scrapes were answered, the slowest after {max(answered, default=0):.3f} s")
    assert (1, 0, True) == (report.generation, report.process_restarts, len(answered) > SECONDS)
    assert [None, None] == [pod.process.poll() for pod in pods]


def test_a_hang_is_lost_time_and_a_restart_with_its_reason(tmp_path: Path) -> None:
    """Rank 1 stands still at step 30 of the first round: what passes until that is seen is nobody's training."""
    toy = {"steps": 60, "seconds": 0.01, "every": 20, "fail": {"rank": 1, "step": 30, "how": "hang"}}
    cluster = Cluster(tmp_path, build_run(hang_floor_seconds=2), dict(toy))
    try:
        pods = [cluster.start(0), cluster.start(1)]
        pods[0].wait_for(r"\[rank 0\] generation 2 step")
        text = fetch(find_port(pods[0]), "/metrics")
        assert [0, 0] == [pod.end() for pod in pods]
    finally:
        cluster.close()

    lost = pods[0].report().seconds["hang"]
    print(f"\n{lost:.2f} s were lost")
    assert 2 <= lost <= 12
    assert 'rfdetr_process_restarts_total{reason="Hang"} 1.0' in text.splitlines()


def test_the_seconds_of_a_pod_add_up_to_its_life(cluster: Cluster) -> None:
    """From the start of its process to its end, restart included, to within one per cent or a tenth of a second."""
    began = time.time()
    pods = [cluster.start(0), cluster.start(1)]
    pods[0].wait_for(r"\[rank 0\] generation 1 step 50$")
    os.kill(find_worker(pods[0], 0, 1), signal.SIGKILL)
    pods[0].wait_for(r"\[rank 0\] generation 2 step 100$")
    for pod in pods:
        pod.kill(signal.SIGTERM)
    for pod in pods:
        pod.end()
    lived = time.time() - began

    seconds = pods[0].report().seconds
    print(f"\nlived {lived:.2f} s: {seconds}")
    assert lived == pytest.approx(sum(seconds.values()), rel=0.01, abs=0.25)
    assert {"init", "rendezvous", "train", "redone"} <= seconds.keys()
