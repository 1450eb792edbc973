"""Launchers on one machine, with a toy as their worker: what a run survives without anybody's help."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.launcher_pods import Cluster, build_run, find_worker, is_alive, wait_until
from rfdetr_contract.report import ExitCode, Outcome, RunReport
from rfdetr_trainer.generations import read_claims

NOTICED = 6.0  # seconds: five of silence, and one between two signs of life


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A run of two nodes with one process each, which steps a hundred times a second."""
    made = Cluster(tmp_path, build_run(), {"steps": 2000, "seconds": 0.01, "every": 5})
    yield made
    made.close()


def test_a_killed_worker_costs_one_round_twenty_times_in_a_row(cluster: Cluster) -> None:
    """Each kill -9 leads to the next round at the first attempt; the survivor is never asked to import again.

    Its worker is stopped: it is its launcher that is told, and lets go of it.
    """
    pods = [cluster.start(0), cluster.start(1)]
    seconds = []

    for generation in range(1, 21):
        rank = generation % 2
        pid = find_worker(pods[rank], rank, generation)
        pods[0].wait_for(rf"\[rank 0\] generation {generation} step \d*[05]$")
        os.kill(find_worker(pods[1 - rank], 1 - rank, generation), signal.SIGSTOP)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        pods[0].wait_for(rf"\[rank 0\] generation {generation + 1} step")
        seconds.append(pods[0].time_of(rf"\[rank 0\] generation {generation + 1} step") - killed)

    report = RunReport.model_validate_json(pods[0].fetch("/report"))
    print(
        f"\nkill -9 of a worker to the next step: median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s"
    )
    assert max(seconds) < NOTICED
    assert (21, 20, Outcome.RUNNING) == (report.generation, report.process_restarts, report.outcome)
    assert list(range(1, 22)) == sorted(read_claims(cluster.output.generations))
    assert 'rfdetr_process_restarts_total{reason="Crashed"} 20.0' in pods[0].fetch("/metrics").splitlines()
    assert "ok\n" == pods[1].fetch("/healthz")


@pytest.mark.parametrize("victim", [0, 1])
def test_nothing_outlives_a_killed_launcher(cluster: Cluster, victim: int) -> None:
    """A SIGKILLed launcher takes its fork server and workers with it; its peer lets go of its own and waits.

    That worker is stopped: it cannot see for itself that the other one is gone.
    """
    pods = [cluster.start(0), cluster.start(1)]
    workers = [find_worker(pods[rank], rank, 1) for rank in range(2)]
    pods[0].wait_for("step 10$")

    os.kill(workers[1 - victim], signal.SIGSTOP)
    pods[victim].kill()

    assert wait_until(lambda: not any(is_alive(pid) for pid in workers), seconds=NOTICED)
    assert (-signal.SIGKILL, None) == (pods[victim].end(), pods[1 - victim].process.poll())


def test_a_replaced_launcher_joins_the_survivor_whichever_it_was(cluster: Cluster) -> None:
    """Rank 1's pod and then rank 0's is lost and made again; the run goes on from the newest checkpoint each time."""
    cluster.toy["steps"] = 600
    first, second = cluster.start(0), cluster.start(1)
    first.wait_for("generation 1 step 20$")
    second.kill()
    second = cluster.start(1)
    first.wait_for(r"round 2: 2 ranks, resume from step \d+")
    first.wait_for("generation 2 step 1")
    first.kill()
    first = cluster.start(0)
    second.wait_for(r"round 3: 2 ranks, resume from step \d+")

    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert [Outcome.COMPLETED, Outcome.COMPLETED] == [first.report().outcome, second.report().outcome]
    assert [(1, None), (2, 1), (3, 2)] == [
        (claim.generation, claim.parent) for claim in read_claims(cluster.output.generations).values()
    ]
    late = cluster.start(1)
    assert (ExitCode.OK, Outcome.COMPLETED) == (late.end(), late.report().outcome)


def test_a_signalled_launcher_leaves_with_a_checkpoint_and_its_peer_waits(cluster: Cluster) -> None:
    """SIGTERM on one rank: every worker saves the same step and leaves, one pod ends as preempted, the other rejoins."""
    cluster.toy |= {"steps": 300, "every": 1000}
    first, second = cluster.start(0), cluster.start(1)
    first.wait_for("generation 1 step 20$")

    second.kill(signal.SIGTERM)

    assert ExitCode.PREEMPTED == second.end()
    assert Outcome.PREEMPTED == second.report().outcome
    assert first.process.poll() is None
    second = cluster.start(1)
    resumed = int(second.wait_for(r"round 2: 2 ranks, resume from step (\d+)").group(1))
    assert 20 <= resumed
    first.wait_for(f"generation 2 step {resumed + 1}$")
    first.kill(signal.SIGTERM)
    assert (ExitCode.PREEMPTED, "stopped on a signal, with a checkpoint") == (first.end(), first.report().message)
    first = cluster.start(0)
    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert (0, 3) == (first.report().steps_redone, first.report().generation)


def test_a_silent_launcher_is_lost_and_comes_back(cluster: Cluster) -> None:
    """A stopped process holds its connection open but says nothing; once it runs again it lets go and rejoins."""
    cluster.run = build_run(peer_seconds=2.0)
    first, second = cluster.start(0), cluster.start(1)
    worker = find_worker(second, 1, 1)
    first.wait_for("generation 1 step 10$")

    second.kill(signal.SIGSTOP)
    first.wait_for("round 1 is over: a peer is gone")
    second.kill(signal.SIGCONT)

    first.wait_for("generation 2 step")
    assert not is_alive(worker)
    assert 2 == int(second.wait_for(r"round (2): 2 ranks, resume from step").group(1))


def test_a_launcher_that_waits_for_its_peers_leaves_at_once(cluster: Cluster) -> None:
    """Without workers there is nothing to save."""
    pod = cluster.start(1)
    pod.wait_for("waiting for node rank 0")

    pod.kill(signal.SIGINT)

    assert (ExitCode.PREEMPTED, Outcome.PREEMPTED) == (pod.end(5), pod.report().outcome)


def test_a_pod_that_came_back_from_the_dead_gives_way(cluster: Cluster) -> None:
    """Another pod's newer claim ends the launcher that was overtaken, and it says so."""
    pods = [cluster.start(0), cluster.start(1)]
    pods[0].wait_for("generation 1 step 10$")
    claim = json.loads((cluster.output.generations / "000001.json").read_text())
    foreign = {**claim, "generation": 2, "parent": 1, "pod_uid": "another"}
    (cluster.output.generations / "000002.json").write_text(json.dumps(foreign))

    assert ExitCode.FAILED == pods[0].end(20)
    assert "Overtaken" == pods[0].report().reason
    assert pods[1].process.poll() is None
