"""A node that dies without a word: its rank runs elsewhere long before Kubernetes would have evicted it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.cluster import Cluster, wait_until
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, PodFields
from cluster.jobs import Kubectl, Watched, copy_digits, make_job, read_checkpoint_step, start, write_digits

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator", "output")]


@pytest.fixture
def spread(
    kubectl: Kubectl, namespace: str, dataset: Claim, pod_fields: PodFields, tmp_path: Path, timings: Stopwatch
) -> Watched:
    """A long job with a durable checkpoint and one pod on each node."""
    copy_digits(write_digits(tmp_path / "set"), dataset)
    apart = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"rfdetr.io/job-name": "long"}},
                    },
                }
            ]
        }
    }
    job = start(kubectl, namespace, make_job("long", {**pod_fields, "affinity": apart}, {"training": {"epochs": 400}}))
    timings.add("apply to Running", job.wait_for_phase("Running"))
    job.wait_for_step(5)
    return job


@pytest.fixture
def cut(own_cluster: Cluster, kubectl: Kubectl, operator: str) -> Iterator[str]:
    """A node on which the operator is not; it is whole again at the end."""
    pods = json.loads(
        kubectl("-n", operator, "get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "json")
    )["items"]
    home = {pod["spec"]["nodeName"] for pod in pods}
    nodes = [node["metadata"]["name"] for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]]
    chosen = next(node for node in nodes if node not in home)
    yield chosen
    own_cluster.heal_network(chosen)
    wait_until("the node is ready again", lambda: own_cluster.is_ready(chosen), seconds=120)


def test_a_rank_on_a_node_that_is_cut_off_runs_elsewhere(
    own_cluster: Cluster, cut: str, spread: Watched, timings: Stopwatch
) -> None:
    """No hand is laid on: counted as a lost node, no restart is spent, and the run goes on past the step it had reached."""
    lost = [pod["metadata"]["name"] for pod in spread.pods() if pod["spec"]["nodeName"] == cut]
    reached = read_checkpoint_step(spread.status())

    own_cluster.cut_network(cut)
    timings.add(
        "cut to the rank given up",
        spread.wait("the loss told", lambda status: bool(status.get("restarts", {}).get("nodeLosses")), 120),
    )
    timings.add("given up to Running again", spread.wait_for_phase("Running", 120))
    timings.add(
        "Running again to a newer checkpoint",
        spread.wait("a newer checkpoint", lambda status: read_checkpoint_step(status) >= reached + 5, 240),
    )

    homes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in spread.pods()}
    restarts = spread.status()["restarts"]
    assert (1, 0, 0) == (restarts["nodeLosses"], restarts["counted"], restarts["preemptions"])
    assert [] == [name for name in lost if homes[name] == cut]
