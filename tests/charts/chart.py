"""The chart as the tests hold it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.chart.install import Manifest, render

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "rfdetr-operator"
RELEASE = "rfdetr"
NAMESPACE = "rfdetr-system"
FULLNAME = "rfdetr-rfdetr-operator"

# Everything that is off by default, switched on.
ALL_ON: Mapping[str, Any] = {
    "replicas": 2,
    "podDisruptionBudget": {"enabled": True},
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
    },
    "dashboards": {"enabled": True, "grafanaOperator": {"enabled": True}},
    "networkPolicy": {"operator": {"enabled": True}, "training": {"enabled": True}},
}


def merge(base: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``news`` put over it, object by object."""
    result = dict(base)
    for key, value in news.items():
        known = result.get(key)
        result[key] = merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def nest(path: str, value: object) -> dict[str, Any]:
    """``a.b`` and 1 as ``{"a": {"b": 1}}``."""
    head, _, rest = path.partition(".")
    return {head: nest(rest, value) if rest else value}


def release(values: Mapping[str, Any] | None = None) -> list[Manifest]:
    """The objects of the release that the tests look at."""
    return render(values or {}, name=RELEASE, namespace=NAMESPACE)


def pick(manifests: list[Manifest], kind: str, name: str = FULLNAME, namespace: str | None = None) -> Manifest:
    """The one object of that kind and name."""
    found = [
        each
        for each in manifests
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
        and namespace in (None, each["metadata"].get("namespace"))
    ]
    assert len(found) == 1, [f"{each['kind']}/{each['metadata']['name']}" for each in manifests]
    return found[0]


def identities(manifests: list[Manifest]) -> list[str]:
    """KIND NAMESPACE/NAME of each object, sorted."""
    return sorted(
        f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in manifests
    )
