"""What Helm prints at the end: the next commands with the user's own values, and what is off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from helm_python import Chart

from charts.chart import ALL_ON, CHART, NAMESPACE, RELEASE, merge


def read_notes(values: Mapping[str, Any]) -> str:
    """The notes of a release."""
    with Chart.load(CHART) as chart:
        return chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)["rfdetr-operator/templates/NOTES.txt"]


def list_off(notes: str) -> list[str]:
    """The values that the notes warn of."""
    return re.findall(r"^  - ([^:]+): ", notes, re.MULTILINE)


def test_the_next_commands_have_the_users_own_values() -> None:
    """They can be pasted as they stand."""
    notes = read_notes(
        {"fullnameOverride": "rf", "rbac": {"watchNamespaces": ["team-a", "team-b"]}, "tests": {"enabled": False}}
    )

    assert [
        f"kubectl -n {NAMESPACE} rollout status deployment/rf",
        "kubectl explain rfj.spec",
        "kubectl -n team-a apply -f job.yaml && kubectl -n team-a get rfj -w",
    ] == re.findall(r"^  \d\. (.*)$", notes, re.MULTILINE)
    assert "serves jobs of namespace team-a, team-b." in notes


def test_a_default_release_is_told_what_it_lacks() -> None:
    """Observability, a standby, and a fence around the ranks."""
    assert [
        "replicas",
        "metrics.serviceMonitor.enabled",
        "metrics.podMonitor.enabled",
        "metrics.prometheusRule.enabled",
        "dashboards.enabled, dashboards.grafanaOperator.enabled",
        "networkPolicy.training.enabled",
    ] == list_off(read_notes({}))


def test_a_release_with_everything_on_is_told_nothing() -> None:
    """But for labels, without which the usual Prometheus looks away."""
    notes = read_notes(ALL_ON)

    assert [] == list_off(notes)
    assert (
        "Without labels (metrics.serviceMonitor.labels, metrics.podMonitor.labels, metrics.prometheusRule.labels)"
        in notes
    )


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({"crds": {"enabled": False}}, ["crds.enabled"]),
        ({"crds": {"keep": False}}, ["crds.keep"]),
        ({"rbac": {"create": False}}, ["rbac.create"]),
        ({"rbac": {"scope": "namespace"}}, ["rbac.scope=namespace"]),
    ],
)
def test_what_may_surprise_is_said(values: dict[str, Any], warned: list[str]) -> None:
    """Before it does."""
    labels = {name: {"labels": {"release": "p"}} for name in ("serviceMonitor", "podMonitor", "prometheusRule")}

    assert warned == list_off(read_notes(merge(merge(ALL_ON, {"metrics": labels}), values)))
