"""The harness itself: what the suite takes for granted about its cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from cluster.harness.cluster import Cluster, wait_until
from cluster.harness.nodes import NODES
from cluster.harness.paths import HarnessError, Paths, locked
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, apply_objects, build_bare_pod

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]
IMPORTS = "import os, torch, rfdetr.training, rfdetr_trainer.launch, rfdetr_contract; print(os.getuid())"


def wait_for_phase(kubectl: Kubectl, namespace: str, pod: str, phase: str, seconds: int = 60) -> None:
    kubectl("-n", namespace, "wait", f"--for=jsonpath={{.status.phase}}={phase}", f"pod/{pod}", f"--timeout={seconds}s")


def build_ranks_service(name: str) -> dict[str, object]:
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"subdomain": name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def create_rank(cluster: Cluster, namespace: str, name: str, node: str, command: list[str]) -> None:
    """A pod with a name of its own in the headless Service `ranks`."""
    pod = build_bare_pod(cluster, name, node=node, command=command)
    spec, metadata = pod["spec"], pod["metadata"]
    assert isinstance(spec, dict)
    assert isinstance(metadata, dict)
    spec |= {"hostname": name, "subdomain": "ranks"}
    metadata |= {"namespace": namespace, "labels": {"subdomain": "ranks"}}
    apply_objects(cluster, [pod])


def test_both_nodes_are_ready(own_cluster: Cluster) -> None:
    """Two nodes have registered and report Ready."""
    ready = {node.name: own_cluster.is_ready(node.name) for node in NODES}
    expected = {"node1": True, "node2": True}

    assert expected == ready


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_restricted_pod_imports_torch_from_the_machine(
    cluster: Cluster, kubectl: Kubectl, namespace: str, own_cluster: Cluster, timings: Stopwatch, node: str
) -> None:
    """uid 10001 on a read-only root runs this machine's Python and packages on either node."""
    pod = build_bare_pod(cluster, "imports", node=node, command=["python", "-W", "ignore", "-c", IMPORTS])
    with timings.measure(f"pod on {node}: create to imported"):
        kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
        wait_for_phase(kubectl, namespace, "imports", "Succeeded")
    expected = "10001"

    assert expected == kubectl("-n", namespace, "logs", "imports").strip()


def test_the_trainer_image_runs_as_any_uid_on_a_read_only_root(
    own_cluster: Cluster, kubectl: Kubectl, namespace: str, trainer_image: str, timings: Stopwatch
) -> None:
    """The real image, which reached the second node by hard links, needs no volume, no write and no uid of its own."""
    pod = build_bare_pod(own_cluster, "trainer", node="node2", command=["python", "-W", "ignore", "-c", IMPORTS])
    spec = pod["spec"]
    assert isinstance(spec, dict)
    spec["volumes"] = spec["volumes"][-1:]
    spec["containers"][0] |= {"image": trainer_image, "volumeMounts": spec["containers"][0]["volumeMounts"][-1:]}
    spec["securityContext"]["runAsUser"] = 12345
    with timings.measure("trainer image: create to imported"):
        kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
        wait_for_phase(kubectl, namespace, "trainer", "Succeeded")
    expected = "12345"

    assert expected == kubectl("-n", namespace, "logs", "trainer").strip()


def test_a_rank_reaches_another_by_name_across_nodes(
    own_cluster: Cluster, kubectl: Kubectl, namespace: str, timings: Stopwatch
) -> None:
    """A headless Service's record of a pod on node1 is answered and reachable on node2."""
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(build_ranks_service("ranks")))
    create_rank(own_cluster, namespace, "j-0", "node1", ["python", "-m", "http.server", "8000"])
    script = f"until python -c 'import urllib.request as u; u.urlopen(\"http://j-0.ranks.{namespace}.svc:8000\")'; do sleep 0.2; done"
    with timings.measure("pod on node2: create to answered by a name on node1"):
        create_rank(own_cluster, namespace, "j-1", "node2", ["sh", "-c", script])
        wait_for_phase(kubectl, namespace, "j-1", "Succeeded")


def test_a_claim_is_written_by_the_trainers_uid_and_seen_on_the_machine(
    own_cluster: Cluster, kubectl: Kubectl, namespace: str, output: Claim
) -> None:
    """A pod of uid 10001 writes to the claim, and the file is in the test's folder."""
    pod = build_bare_pod(own_cluster, "writer", node=None, command=["sh", "-c", "echo saved > /output/file"])
    spec = pod["spec"]
    assert isinstance(spec, dict)
    spec["volumes"].append({"name": "output", "persistentVolumeClaim": {"claimName": output.name}})
    spec["containers"][0]["volumeMounts"].append({"name": "output", "mountPath": "/output"})
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
    wait_for_phase(kubectl, namespace, "writer", "Succeeded")
    expected = "saved\n"

    assert expected == (output.folder / "file").read_text()


def test_a_container_killed_from_outside_ends_with_137(own_cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    """kill_container is SIGKILL for process 1 of the container."""
    pod = build_bare_pod(own_cluster, "victim", node="node2", command=["sleep", "600"])
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
    wait_for_phase(kubectl, namespace, "victim", "Running")
    own_cluster.kill_container(namespace, "victim")
    wait_for_phase(kubectl, namespace, "victim", "Failed")
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    expected = "137"

    assert expected == kubectl("-n", namespace, "get", "pod", "victim", "-o", path)


def test_a_second_run_in_the_same_cache_is_refused(own_cluster: Cluster) -> None:
    """The cache is held by this run, and the refusal says by which process."""
    paths = own_cluster.paths
    assert isinstance(paths, Paths)

    with pytest.raises(HarnessError, match=r"process \d+ already runs a test cluster in .*RFDETR_CLUSTER_CACHE"):
        locked(paths).__enter__()


def test_a_cut_network_makes_a_node_not_ready_and_healing_brings_it_back(
    own_cluster: Cluster, timings: Stopwatch
) -> None:
    """The node's cable is pulled and put back; its pods and agents live through it."""
    own_cluster.cut_network("node2")
    try:
        lost = wait_until("node2 is NotReady", lambda: not own_cluster.is_ready("node2"), seconds=40)
    finally:
        own_cluster.heal_network("node2")
    back = wait_until("node2 is Ready", partial(own_cluster.is_ready, "node2"), seconds=60)

    timings.add("network cut to NotReady", lost)
    timings.add("network healed to Ready", back)


def test_a_node_without_power_is_not_ready_and_returns_ready(
    own_cluster: Cluster, kubectl: Kubectl, namespace: str, timings: Stopwatch
) -> None:
    """All of a node's processes die at once; the same node starts again and runs a new pod."""
    own_cluster.lose_power("node2")
    try:
        lost = wait_until("node2 is NotReady", lambda: not own_cluster.is_ready("node2"), seconds=40)
    finally:
        with timings.measure("power restored to Ready"):
            own_cluster.restore_power("node2")
            wait_until("node2 is Ready", partial(own_cluster.is_ready, "node2"), seconds=60)
    timings.add("power lost to NotReady", lost)
    pod = build_bare_pod(own_cluster, "after", node="node2", command=["true"])
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))

    wait_for_phase(kubectl, namespace, "after", "Succeeded")
