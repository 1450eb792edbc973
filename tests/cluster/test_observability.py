"""The chart's monitors, rules and dashboards on a real Kubernetes: what a real Prometheus sees of a real training by them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from board_check import TELLS_ALL, fill_for, find_faults
from charts.chart_rules import read_groups
from cluster.harness.cluster import Cluster, wait_until
from cluster.harness.paths import HarnessError
from cluster.harness.releases import Release, installed
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, PodFields
from cluster.jobs import (
    Kubectl,
    Watched,
    copy_digits,
    make_job,
    make_quickstart,
    read_checkpoint_step,
    start,
    write_digits,
)
from cluster.watching import SECOND, Watch, read_objects, watched
from exposition_check import list_problems
from programs import need
from prometheus import fetch
from promql import Json, read_boards
from rfdetr_contract.metrics import OPERATOR, TRAINER

pytestmark = pytest.mark.cluster

SETTLED = 40.0  # seconds until the targets are the pods
UNWANTED = "rfdetr_val_duration_seconds_total"  # no board and no rule asks for it
VALUES: Json = {
    "replicas": 2,
    "metrics": {
        "serviceMonitor": {"enabled": True, "interval": SECOND},
        "podMonitor": {
            "enabled": True,
            "interval": SECOND,
            "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
            "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": UNWANTED}],
        },
        "prometheusRule": {"enabled": True},
    },
    "dashboards": {"enabled": True},
}
# Long enough to be hurt once and to learn something; the gain that the counter asks for is out of reach.
STOP = {"enabled": True, "patience": 12, "minDelta": 0.5}
SPEC: Json = {
    "dataset": {"path": "digits"},
    "training": {"epochs": 40, "earlyStopping": STOP, "overrides": TELLS_ALL},
}


def describe_target(pod: Json, endpoint: str) -> Json:
    """The labels that both kinds of monitors give."""
    (container,) = pod["spec"]["containers"]
    (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == endpoint]
    return {
        "instance": f"{pod['status'].get('podIP')}:{port}",
        "namespace": pod["metadata"]["namespace"],
        "pod": pod["metadata"]["name"],
        "container": container["name"],
        "endpoint": endpoint,
    }


def list_targets(release: Release, job: Watched) -> list[tuple[Json, str]]:
    """The operator's pods and the job's pods, each under the labels that the boards ask for, and up."""
    service = {"service": release.fullname, "job": release.fullname}
    wanted = [
        describe_target(pod, "http") | service
        for pod in read_objects(release, "pods", f"app.kubernetes.io/instance={release.name}")
    ]
    for pod in job.pods():
        own = {
            "job": f"{release.namespace}/{release.fullname}-training",
            "job_name": job.name,
            "node_rank": pod["metadata"]["labels"]["rfdetr.io/node-rank"],
            "node": pod["spec"].get("nodeName"),
        }
        wanted.append(describe_target(pod, "metrics") | own)
    return sorted(((labels, "up") for labels in wanted), key=lambda each: str(each[0]["instance"]))


def check_targets(watch: Watch, release: Release, job: Watched) -> None:
    """Two operators and two ranks: all of them are scraped, and nothing else."""
    with suppress(HarnessError):
        wait_until(
            "the targets are the pods", lambda: list_targets(release, job) == watch.read_targets(), seconds=SETTLED
        )
    wanted = list_targets(release, job)
    assert (4, wanted) == (len(wanted), watch.read_targets())


def check_scrapes(watch: Watch, cluster: Cluster) -> None:
    """promtool, and rules of our own, have no complaint about what a pod serves at its address."""
    contracts = {"http": OPERATOR, "metrics": TRAINER}
    problems = [
        f"{labels['pod']}: {problem}"
        for labels, _ in watch.read_targets()
        for problem in list_problems(
            fetch(f"http://{labels['instance']}/metrics", cluster.argv()).decode(), contracts[labels["endpoint"]]
        )
    ]
    assert [] == problems


def check_numbers(watch: Watch, job: Watched) -> None:
    """What the boards drew last is what `kubectl get rfj` says."""
    progress: dict[str, Any] = job.status()["progress"]
    patience, job_labels = progress["patience"], {"namespace": job.namespace, "job_name": job.name}
    told: dict[str, list[tuple[Json, float]]] = {
        "training-run: mAP 50:95 now A": [({}, float(progress["mAP50_95"]))],
        "training-run: Validation mAP 50:95 C": [({}, float(progress["best"]["value"]))],
        "training-run: Early stopping: epochs without improvement A": [({}, patience["waited"])],
        "training-run: Early stopping: epochs without improvement B": [({}, patience["limit"])],
        "fleet: Jobs C": [(job_labels, float(progress["mAP50_95"]))],
        "fleet: Jobs D": [(job_labels, float(progress["best"]["value"]))],
        "fleet: Jobs E": [(job_labels, round(patience["waited"] / patience["limit"], 4))],
    }
    drawn = {place: [(labels, round(found[-1], 4)) for labels, found in watch.ask(place, job)] for place in told}
    assert (told, True) == (drawn, all(value > 0 for series in told.values() for _, value in series))


@pytest.mark.timeout(900)
def test_a_training_is_watched_by_the_charts_own_monitors_rules_and_boards(
    own_cluster: Cluster,
    make_release: Callable[[str, str], Release],
    crd_afterwards: None,
    monitoring_kinds: None,
    kubectl: Kubectl,
    namespace: str,
    dataset: Claim,
    output: Claim,
    pod_fields: PodFields,
    timings: Stopwatch,
    tmp_path: Path,
) -> None:
    """Every pod is found, before a preemption and after; every panel draws, every rule works, and the numbers are the job's."""
    need("prometheus")
    need("promtool")
    copy_digits(write_digits(tmp_path / "set", "--classes", "2", train=64, valid=16), dataset)
    values = {**VALUES, "rbac": {"watchNamespaces": [namespace]}}
    with (
        installed(make_release("rfdetr-operator", f"{namespace}-system"), values) as release,
        watched(release, tmp_path) as watch,
    ):
        assert (read_boards(), read_groups()) == (watch.boards, watch.groups)
        start(kubectl, namespace, make_job("waiting", pod_fields, {"dataset": {"claimName": "absent"}}))
        job = start(kubectl, namespace, make_quickstart(pod_fields, SPEC))
        timings.add("apply to the first checkpoint", job.wait_for_step(5))
        check_targets(watch, release, job)
        check_scrapes(watch, own_cluster)

        kubectl("-n", namespace, "delete", "pod", f"{job.name}-0", "--wait=false")

        timings.add("to a newer checkpoint", job.wait_for_step(read_checkpoint_step(job.status()) + 10))
        check_targets(watch, release, job)
        timings.add("to the end", job.wait_for_phase("Succeeded", 400))
        faults = find_faults(
            watch.prometheus, watch.boards, watch.groups, fill_for(namespace, job.name, watch.began), watch.began
        )
        assert [] == faults
        check_numbers(watch, job)
        assert [] == watch.prometheus.ask("series", **{"match[]": UNWANTED})
