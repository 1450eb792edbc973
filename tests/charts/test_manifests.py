"""What the chart renders: valid for eight minors of Kubernetes, restricted, and at one with the operator's own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import kubernetes_validate
import pytest
from helm_python import lint

from charts.chart import ALL_ON, CHART, FULLNAME, NAMESPACE, RELEASE, identities, merge, nest, pick, release
from tools.chart.install import Manifest, render

MINORS = tuple(f"1.{minor}" for minor in range(30, 38))
OTHERS_OWN = ("CustomResourceDefinition", "ServiceMonitor", "PodMonitor", "PrometheusRule", "GrafanaDashboard")
NAMESPACED = {"rbac": {"scope": "namespace", "watchNamespaces": ["team-a", "team-b"]}}
PROXIED = {"reports": {"via": "apiProxy"}}
SHAPES: dict[str, Mapping[str, Any]] = {
    "defaults": {},
    "all on": ALL_ON,
    "namespaced": NAMESPACED,
    "namespaced, all on, by the proxy": merge(ALL_ON, merge(NAMESPACED, PROXIED)),
    "metrics from somewhere": merge(ALL_ON, {"networkPolicy": {"metricsFrom": [{"podSelector": {}}]}}),
    "bare": {"rbac": {"create": False}, "serviceAccount": {"create": False}, "crds": {"enabled": False}},
}
SWITCHES = (
    "crds.enabled",
    "rbac.create",
    "serviceAccount.create",
    "podDisruptionBudget.enabled",
    "metrics.podMonitor.enabled",
    "dashboards.enabled",
    "networkPolicy.operator.enabled",
    "networkPolicy.training.enabled",
    "tests.enabled",
)


def list_pods(manifests: list[Manifest]) -> list[Manifest]:
    """Pods and templates of pods."""
    return [
        each["spec"]["template"] if each["kind"] == "Deployment" else each
        for each in manifests
        if each["kind"] in ("Pod", "Deployment")
    ]


@pytest.fixture(scope="module")
def distinct() -> list[Manifest]:
    """Every object of every shape, once."""
    found = [each for values in SHAPES.values() for each in release(values) if each["kind"] not in OTHERS_OWN]
    return list({json.dumps(each, sort_keys=True): each for each in found}.values())


@pytest.mark.parametrize("minor", MINORS)
def test_every_object_is_valid_for_kubernetes(minor: str, distinct: list[Manifest]) -> None:
    """Unknown fields are an error too."""
    for manifest in distinct:
        kubernetes_validate.validate(manifest, minor, strict=True)


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_helm_lint_finds_nothing(values: Mapping[str, Any]) -> None:
    """In its strict mode; that a chart has no picture is only remarked."""
    report = lint(CHART, dict(values), strict=True, kube_version="v1.37.0")

    assert ([], ["icon is recommended"]) == (report["errors"], [each["error"] for each in report["messages"]])


@pytest.mark.parametrize("rest", [False, True])
def test_any_two_switches_go_together(rest: bool) -> None:
    """Whatever the others are: each object has a name of its own, and the Deployment is among them."""
    broken = []
    for pair in combinations(SWITCHES, 2):
        values: dict[str, Any] = {}
        for path in SWITCHES:
            values = merge(values, nest(path, (path in pair) is not rest))
        found = identities(release(values))
        if len(found) != len(set(found)) or f"Deployment {NAMESPACE}/{FULLNAME}" not in found:
            broken.append(pair)

    assert [] == broken


def test_a_default_release_is_these_objects() -> None:
    """Nothing that needs somebody else's CRD."""
    assert [
        f"ClusterRole /{FULLNAME}",
        f"ClusterRole /{FULLNAME}-edit",
        f"ClusterRole /{FULLNAME}-view",
        f"ClusterRoleBinding /{FULLNAME}",
        "CustomResourceDefinition /rfdetrtrainingjobs.rfdetr.io",
        f"Deployment {NAMESPACE}/{FULLNAME}",
        f"Pod {NAMESPACE}/{FULLNAME}-test",
        f"Role kube-node-lease/{FULLNAME}-node-leases",
        f"Role {NAMESPACE}/{FULLNAME}-leader",
        f"Role {NAMESPACE}/{FULLNAME}-test",
        f"RoleBinding kube-node-lease/{FULLNAME}-node-leases",
        f"RoleBinding {NAMESPACE}/{FULLNAME}-leader",
        f"RoleBinding {NAMESPACE}/{FULLNAME}-test",
        f"Service {NAMESPACE}/{FULLNAME}",
        f"ServiceAccount {NAMESPACE}/{FULLNAME}",
    ] == identities(release())


def test_a_namespaced_release_has_nothing_cluster_wide() -> None:
    """Somebody who owns two namespaces can install it, once the CRD is there."""
    found = release(merge(NAMESPACED, {"crds": {"enabled": False}}))

    assert (set(), {NAMESPACE, "team-a", "team-b"}) == (
        {each["kind"] for each in found if "namespace" not in each["metadata"]},
        {each["metadata"]["namespace"] for each in found},
    )


def test_pods_are_restricted() -> None:
    """Non-root, a read-only root, no capability: Pod Security `restricted`."""
    container = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pod = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}

    assert [(pod, container)] * 2 == [
        (each["spec"]["securityContext"], each["spec"]["containers"][0]["securityContext"])
        for each in list_pods(release())
    ]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "rfdetr-operator:0.1.0"),
        ({"registry": "registry.example.com/ml"}, "registry.example.com/ml/rfdetr-operator:0.1.0"),
        ({"registry": "r:5000", "repository": "a/b", "tag": "next"}, "r:5000/a/b:next"),
        ({"tag": "next", "digest": f"sha256:{'0' * 64}"}, f"rfdetr-operator@sha256:{'0' * 64}"),
    ],
)
def test_a_digest_wins_over_a_tag(image: dict[str, str], expected: str) -> None:
    """And the registry is a prefix of both; the test hook runs the same image."""
    assert {expected} == {each["spec"]["containers"][0]["image"] for each in list_pods(release({"image": image}))}


def test_an_update_has_no_gap() -> None:
    """The new pod is ready before the old one goes."""
    spec = pick(release(), "Deployment")["spec"]

    assert {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}} == spec["strategy"]


def test_what_selects_pods_never_changes_with_a_version() -> None:
    """A selector is immutable, and an upgrade that changed it would fail."""
    selector = {
        "app.kubernetes.io/name": "rfdetr-operator",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": "operator",
    }
    manifests = release(ALL_ON)

    assert [selector] * 4 == [
        pick(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        pick(manifests, "Service")["spec"]["selector"],
        pick(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        pick(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]


def test_two_releases_share_no_object() -> None:
    """In one cluster, in other namespaces or under other names: only the CRD is common."""
    first = identities(release())
    second = identities(render({"crds": {"enabled": False}}, name="second", namespace=NAMESPACE))

    assert set() == set(first) & set(second)


def test_alerts_point_at_the_runbooks_of_the_user() -> None:
    """The templates of the alerts stay as they are written."""
    values = merge(ALL_ON, {"metrics": {"prometheusRule": {"runbookUrl": "https://example.com/books/"}}})
    rules = [rule for group in pick(release(values), "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    alerts = [rule for rule in rules if "alert" in rule]

    assert 10 == len(alerts)
    assert [f"https://example.com/books/{each['alert']}" for each in alerts] == [
        each["annotations"]["runbook_url"] for each in alerts
    ]
    assert all(
        "{{ $labels.job_name }}" in each["annotations"]["summary"]
        for each in alerts
        if "RFDETROperator" not in each["alert"] and "Reconcile" not in each["alert"]
    )


def test_dashboards_are_in_the_release_as_they_are_in_the_chart() -> None:
    """For the sidecar and for the Grafana operator, letter for letter."""
    manifests = release(ALL_ON)
    for path in sorted((CHART / "files" / "dashboards").glob("*.json")):
        name = f"{FULLNAME}-dashboard-{path.stem}"
        text = path.read_text().strip()

        assert {f"rfdetr-{path.name}": text + "\n"} == pick(manifests, "ConfigMap", name)["data"]
        assert text + "\n" == pick(manifests, "GrafanaDashboard", name)["spec"]["json"]


def test_an_extra_object_is_a_template_too() -> None:
    """As an object and as a string."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-b'}\n"

    found = [each for each in release({"extraObjects": [config, text]}) if each["kind"] == "ConfigMap"]

    assert ["rfdetr-a", "rfdetr-b"] == [each["metadata"]["name"] for each in found]
