"""The writes of the operator's account in the audit log of a real API server, while real jobs come to Running."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks import clusters
from benchmarks.operator_process import run_operator
from benchmarks.result import Say
from cluster.harness.cluster import Cluster
from cluster.harness.workspace import Claim, build_pod_fields, create_claim, create_namespace, delete_namespace
from cluster.jobs import make_job, write_digits
from rfdetr_contract import names

NAMESPACE = "benchmark-writes"


def count_lines(lines: Iterable[str], user: str, namespace: str) -> Counter[str]:
    """Verb and resource of each write that a user sent to a namespace, refused ones included."""
    counted: Counter[str] = Counter()
    for line in lines:
        entry = json.loads(line)
        target = entry.get("objectRef", {})
        if entry["user"]["username"] != user or target.get("namespace") != namespace:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        counted["events" if resource == "events" else f"{entry['verb']} {resource}"] += 1
    return counted


def read_lines(cluster: Cluster, skipped: int) -> list[str]:
    """Whole lines of the audit log beyond those seen before."""
    lines = cluster.audit_log.read_text().splitlines(keepends=True)
    return [line for line in lines[skipped:] if line.endswith("\n")]


def prepare_namespace(cluster: Cluster, volumes: Path) -> None:
    (volumes / NAMESPACE).mkdir(parents=True)
    create_namespace(cluster, NAMESPACE)
    data = create_claim(cluster, NAMESPACE, Claim("data", volumes / NAMESPACE / "data"), writable=True)
    create_claim(cluster, NAMESPACE, Claim("checkpoints", volumes / NAMESPACE / "checkpoints"), writable=True)
    write_digits(data.folder / "digits")


def count_job(cluster: Cluster, name: str, nodes: int) -> Counter[str]:
    """From `kubectl create` until the API server says Running."""
    skipped = len(read_lines(cluster, 0))
    job = make_job(name, build_pod_fields(cluster), {"nodes": nodes})
    cluster.kubectl("-n", NAMESPACE, "create", "-f", "-", stdin=json.dumps(job))
    running = "--for=jsonpath={.status.phase}=Running"
    cluster.kubectl("-n", NAMESPACE, "wait", running, f"{names.PLURAL}/{name}", "--timeout=50s")
    counted = count_lines(read_lines(cluster, skipped), clusters.USER, NAMESPACE)
    cluster.kubectl("-n", NAMESPACE, "delete", names.PLURAL, name, "--wait=false")
    cluster.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    return counted


def count_jobs(folder: Path, jobs: int, nodes: int, say: Say, *, build: bool) -> list[Counter[str]]:
    """The counts of jobs that follow each other.

    Raises:
        NoCluster: this machine cannot have a real cluster now.

    """
    counts: list[Counter[str]] = []
    with clusters.open_cluster(say, build=build) as cluster:
        site = clusters.create_site(cluster, folder)
        assert cluster.paths is not None
        prepare_namespace(cluster, cluster.paths.volumes)
        with run_operator(site, folder):
            for number in range(jobs):
                counts.append(count_job(cluster, f"writes-{number}", nodes))
                say(f"job writes-{number} runs after {dict(counts[-1])}")
        delete_namespace(cluster, NAMESPACE)
    return counts
