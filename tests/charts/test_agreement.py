"""The chart and the operator's code are at one: rights, environment, labels, ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from charts.chart import ALL_ON, FULLNAME, NAMESPACE, merge, pick, release
from rfdetr_contract import names
from rfdetr_operator.core.naming import build_labels
from rfdetr_operator.core.rights import Right, choose_rights
from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.selftest import choose_duties
from rfdetr_operator.shell.settings import LeaseSettings, ReportsVia, Settings, read_settings
from tools.chart.install import Manifest

NAMESPACED = {"rbac": {"scope": "namespace", "watchNamespaces": ["team-a", "team-b"]}}
PROXIED = {"reports": {"via": "apiProxy"}}


def read_env(pod: Manifest) -> dict[str, str]:
    """The environment of the pod's first container, with the downward API filled in."""
    downward = {"metadata.name": "pod-x", "metadata.namespace": NAMESPACE}
    entries: list[dict[str, Any]] = pod["spec"]["containers"][0]["env"]
    return {
        each["name"]: each["value"] if "value" in each else downward[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in entries
    }


def list_granted(manifests: list[Manifest]) -> Iterator[Right]:
    """Every right that roles bound to the operator give it; the roles of the test hook left out."""
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in manifests
    }
    for binding in manifests:
        if "roleRef" not in binding or "helm.sh/hook" in binding["metadata"].get("annotations", {}):
            continue
        namespace = binding["metadata"].get("namespace", "")
        role = roles[(binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"])]
        for rule in role["rules"]:
            for group, resource, verb, name in product(
                rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames", [""])
            ):
                yield Right(verb, group, resource, namespace, name)


@pytest.mark.parametrize(
    "values", [{}, PROXIED, NAMESPACED, {"rbac": {"scope": "namespace"}}, merge(NAMESPACED, PROXIED)]
)
def test_the_rights_are_what_the_operator_needs_and_no_more(values: dict[str, Any]) -> None:
    """Compared with the operator's own list, for the very environment that the chart gives it."""
    manifests = release(values)
    settings = read_settings(read_env(pick(manifests, "Deployment")["spec"]["template"]))

    assert set(choose_rights(choose_duties(settings))) == set(list_granted(manifests))


def test_the_operator_reads_its_settings_from_the_environment_that_the_chart_gives() -> None:
    """Value for value."""
    values = {
        "trainer": {"image": {"registry": "registry.example.com/ml", "tag": "next"}},
        "rbac": {"watchNamespaces": ["team-a", "team-b"]},
        "leaderElection": {"leaseSeconds": 9},
        "reports": {"via": "apiProxy"},
        "nodeLostSeconds": 45,
        "clusterDomain": "cluster.example",
        "logLevel": "WARNING",
    }
    core = CoreSettings(
        image="registry.example.com/ml/rfdetr-trainer:next",
        cluster_domain="cluster.example",
        node_lost=timedelta(seconds=45),
    )
    expected = Settings(
        core=core,
        namespaces=("team-a", "team-b"),
        log_level=30,
        instance="pod-x",
        lease=LeaseSettings(NAMESPACE, "pod-x", FULLNAME, 9),
        reports_via=ReportsVia.API_PROXY,
    )

    found = read_settings(read_env(pick(release(values), "Deployment")["spec"]["template"]))

    assert expected == replace(found, kubeconfig=None)


def test_the_helm_test_asks_with_the_operators_own_settings() -> None:
    """It checks the rights of the operator as it is, not of another one."""
    manifests = release(merge(NAMESPACED, PROXIED))
    pod = pick(manifests, "Pod", f"{FULLNAME}-test")

    assert read_env(pick(manifests, "Deployment")["spec"]["template"]) == read_env(pod)
    assert "--namespace=team-a" == pod["spec"]["containers"][0]["command"][-1]


def test_the_pod_monitor_finds_what_the_operator_makes() -> None:
    """By labels and by the port's name; job_name and node_rank come from labels of the pod."""
    spec = pick(release(ALL_ON), "PodMonitor", f"{FULLNAME}-training")["spec"]
    labels = {**build_labels("job", "uid"), names.LABEL_NODE_RANK: "0"}
    relabelled = {each["targetLabel"]: each["sourceLabels"] for each in spec["podMetricsEndpoints"][0]["relabelings"]}

    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert {
        "job_name": [meta_label(names.LABEL_JOB)],
        "node_rank": [meta_label(names.LABEL_NODE_RANK)],
    } == relabelled
    assert ("metrics", {"any": True}) == (spec["podMetricsEndpoints"][0]["port"], spec["namespaceSelector"])


def meta_label(label: str) -> str:
    """Prometheus's name for a pod's label."""
    return "__meta_kubernetes_pod_label_" + "".join(char if char.isalnum() else "_" for char in label)


def test_a_namespaced_release_scrapes_its_own_namespaces_only() -> None:
    """Prometheus need not be allowed more than the operator is."""
    spec = pick(release(merge(ALL_ON, NAMESPACED)), "PodMonitor", f"{FULLNAME}-training")["spec"]

    assert {"matchNames": ["team-a", "team-b"]} == spec["namespaceSelector"]


def test_the_jobs_own_namespace_survives_the_scrape_of_the_operator() -> None:
    """Without honorLabels it would become exported_namespace."""
    endpoint = pick(release(ALL_ON), "ServiceMonitor")["spec"]["endpoints"][0]

    assert {"port": "http", "path": "/metrics", "honorLabels": True} == endpoint
