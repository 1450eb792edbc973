"""The chart's values: described, checked, and each of them with an effect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmValuesError

from charts.chart import ALL_ON, CHART, NAMESPACE, RELEASE, merge, nest
from tools.chart.values import read_values

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
DIGEST = "sha256:" + "0" * 64
PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
MONITOR: dict[str, Any] = {
    "enabled": True,
    "namespace": "monitoring",
    "labels": {"release": "prometheus"},
    "interval": "15s",
    "scrapeTimeout": "5s",
    "relabelings": [{"targetLabel": "cluster", "replacement": "test"}],
    "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
}
NAMESPACED = {"rbac": {"scope": "namespace"}}

# A value other than the default for each value of the chart.
OTHERS: Mapping[str, object] = {
    "nameOverride": "trainer",
    "fullnameOverride": "rf",
    "commonLabels": {"team": "vision"},
    "commonAnnotations": {"owner": "vision"},
    "image.registry": "registry.example.com/ml",
    "image.repository": "operator",
    "image.tag": "next",
    "image.digest": DIGEST,
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "pull"}],
    "trainer.image.registry": "registry.example.com/ml",
    "trainer.image.repository": "trainer",
    "trainer.image.tag": "next",
    "trainer.image.digest": DIGEST,
    "crds.enabled": False,
    "crds.keep": False,
    "rbac.create": False,
    "rbac.scope": "namespace",
    "rbac.watchNamespaces": ["team-a"],
    "rbac.aggregateToDefaultRoles": False,
    "serviceAccount.create": False,
    "serviceAccount.name": "known",
    "serviceAccount.annotations": {"a": "b"},
    "replicas": 1,
    "leaderElection.leaseSeconds": 15,
    "podDisruptionBudget.enabled": False,
    "reports.via": "apiProxy",
    "nodeLostSeconds": 60,
    "clusterDomain": "cluster.example",
    "logLevel": "DEBUG",
    "resources": {"limits": {"memory": "1Gi"}},
    "nodeSelector": {"pool": "system"},
    "tolerations": [],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "system-cluster-critical",
    "terminationGracePeriodSeconds": 20,
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "podSecurityContext": {"runAsUser": 1234},
    "securityContext": {"privileged": False},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "metrics.service.port": 9090,
    "metrics.service.annotations": {"a": "b"},
    **{f"metrics.serviceMonitor.{key}": value for key, value in (MONITOR | {"enabled": False}).items()},
    **{f"metrics.podMonitor.{key}": value for key, value in (MONITOR | {"enabled": False}).items()},
    "metrics.podMonitor.namespaceSelector": {"matchNames": ["team-a"]},
    "metrics.prometheusRule.enabled": False,
    "metrics.prometheusRule.namespace": "monitoring",
    "metrics.prometheusRule.labels": {"release": "prometheus"},
    "metrics.prometheusRule.runbookUrl": "https://example.com/runbooks/",
    "dashboards.enabled": False,
    "dashboards.namespace": "monitoring",
    "dashboards.label": "dashboard",
    "dashboards.labelValue": "yes",
    "dashboards.folderAnnotation": "folder",
    "dashboards.folder": "Vision",
    "dashboards.grafanaOperator.enabled": False,
    "dashboards.grafanaOperator.namespace": "monitoring",
    "dashboards.grafanaOperator.matchLabels": {"grafana": "main"},
    "dashboards.grafanaOperator.allowCrossNamespaceImport": False,
    "networkPolicy.metricsFrom": PEERS,
    "networkPolicy.operator.enabled": False,
    "networkPolicy.operator.apiServerPorts": [8443],
    "networkPolicy.training.enabled": False,
    "networkPolicy.training.namespaces": ["team-a", "team-b"],
    "tests.enabled": False,
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
}

WRONG = [
    pytest.param({"replica": 2}, "additional properties 'replica' not allowed", id="unknown"),
    pytest.param({"metrics": {"podMonitor": {"enable": True}}}, "at '/metrics/podMonitor'", id="unknown, deep"),
    pytest.param({"replicas": 3}, "at '/replicas'", id="too many replicas"),
    pytest.param({"rbac": {"scope": "global"}}, "at '/rbac/scope'", id="no such scope"),
    pytest.param({"rbac": {"watchNamespaces": ["Team_A"]}}, "at '/rbac/watchNamespaces/0'", id="not a namespace"),
    pytest.param({"rbac": {"watchNamespaces": "team-a"}}, "at '/rbac/watchNamespaces'", id="not a list"),
    pytest.param({"image": {"digest": "0123"}}, "at '/image/digest'", id="half a digest"),
    pytest.param({"image": {"registry": "registry.example.com/"}}, "at '/image/registry'", id="a slash too many"),
    pytest.param({"reports": {"via": "ssh"}}, "at '/reports/via'", id="no such way"),
    pytest.param({"leaderElection": {"leaseSeconds": 1}}, "at '/leaderElection/leaseSeconds'", id="too short a lease"),
    pytest.param({"crds": {"keep": "yes"}}, "at '/crds/keep'", id="not a truth value"),
    pytest.param({"podLabels": {"a": 1}}, "at '/podLabels/a'", id="a label that is a number"),
    pytest.param({"imagePullSecrets": ["pull"]}, "at '/imagePullSecrets/0'", id="a secret without its name"),
]


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of a value or of a group of values, with its path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}{name}", child
        yield from walk(child, f"{path}{name}.")


def flatten(values: Mapping[str, Any], groups: set[str], path: str = "") -> Iterator[str]:
    """Paths of values.yaml, as deep as the schema goes."""
    for name, child in values.items():
        yield f"{path}{name}"
        if f"{path}{name}" in groups:
            yield from flatten(child, groups, f"{path}{name}.")


def read_comments() -> dict[str, str]:
    """The comment above each key of values.yaml."""
    found: dict[str, str] = {}
    keys: list[str] = []
    words: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if comment := re.match(r" *# (.*)", line):
            words.append(comment[1])
            continue
        if key := re.match(r"( *)([A-Za-z]+):", line):
            keys = [*keys[: len(key[1]) // 2], key[2]]
            found |= {".".join(keys): " ".join(words)} if words else {}
        words = []
    return found


def render_files(values: Mapping[str, Any]) -> dict[str, str]:
    """Everything that Helm renders, the notes too."""
    with Chart.load(CHART) as chart:
        return chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)


def test_the_schema_and_the_defaults_name_the_same_values() -> None:
    """Neither knows a value that the other does not."""
    groups = {path for path, schema in walk(SCHEMA) if "properties" in schema}
    known = {path for path, _ in walk(SCHEMA)} - {"global"}

    assert known == set(flatten(VALUES, groups))


def test_every_value_is_described_where_its_default_stands() -> None:
    """The comment of values.yaml is the schema's description."""
    comments = read_comments()
    different = [
        path for path, schema in walk(SCHEMA) if path != "global" and schema["description"] != comments.get(path)
    ]

    assert [] == different


def test_no_group_of_values_takes_an_unknown_name() -> None:
    """A typo is refused at every level; maps say what they hold."""
    open_groups = [
        path
        for path, schema in [("", SCHEMA), *walk(SCHEMA)]
        if "properties" in schema and schema["additionalProperties"] is not False
    ]
    silent_maps = [
        path for path, schema in walk(SCHEMA) if schema["type"] == "object" and "additionalProperties" not in schema
    ]

    assert ([], []) == (open_groups, silent_maps)


def test_the_defaults_are_valid() -> None:
    """Every default passes its own rule."""
    with Chart.load(CHART) as chart:
        chart.validate_schema(VALUES)


@pytest.mark.parametrize(("values", "words"), WRONG)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], words: str) -> None:
    """Helm names the value before anything is rendered."""
    with pytest.raises(HelmValuesError) as caught:
        render_files(values)

    assert words in str(caught.value)


def test_every_value_is_tried() -> None:
    """The table has each value of the chart."""
    assert {value.path for value in read_values()} == set(OTHERS)


@pytest.mark.parametrize("path", list(OTHERS))
def test_every_value_has_an_effect(path: str) -> None:
    """Another value renders something else."""
    base = merge(ALL_ON, {"serviceAccount": {"create": True}})

    assert render_files(base) != render_files(merge(base, nest(path, OTHERS[path])))


def test_all_other_values_render_together() -> None:
    """As namespaced release too: no two values are at odds."""
    everything: dict[str, Any] = {}
    for path, value in OTHERS.items():
        everything = merge(everything, nest(path, value))

    assert render_files(merge(everything, ALL_ON)) != render_files(merge(everything, NAMESPACED))
