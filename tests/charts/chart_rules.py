"""The rules, monitors and dashboards of the rendered chart: what a cluster gets, not what the files say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import helm_python
import yaml

from promql import Json

CHART = Path(__file__).parents[2] / "charts/rfdetr-operator"
EVERYTHING: Json = {
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
    },
    "dashboards": {"enabled": True},
}


@cache
def render_observability(release: str) -> tuple[Json, ...]:
    """Every object of the chart with all that observes switched on."""
    files = helm_python.Chart.load(CHART).render(EVERYTHING, name=release, namespace="rfdetr-system")
    manifests = [text for path, text in files.items() if path.endswith(".yaml")]
    return tuple(each for text in manifests for each in yaml.safe_load_all(text) if each)


def find_objects(kind: str, release: str = "rfdetr") -> list[Json]:
    """The rendered objects of one kind."""
    return [each for each in render_observability(release) if each["kind"] == kind]


def read_groups() -> list[Json]:
    """The groups of the PrometheusRule, as Prometheus takes them."""
    (rule,) = find_objects("PrometheusRule")
    groups: list[Json] = rule["spec"]["groups"]
    return groups


def read_rules() -> list[Json]:
    """Every rule of every group."""
    return [rule for group in read_groups() for rule in group["rules"]]


def read_alerts() -> dict[str, Json]:
    """The alerts by their name."""
    return {rule["alert"]: rule for rule in read_rules() if "alert" in rule}
