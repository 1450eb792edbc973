"""Whether boards and rules are alive: asked of a Prometheus that watched a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from prometheus import Prometheus
from promql import Json, fill, list_expressions

# Overrides of a training by which it tells all that a board draws.
TELLS_ALL = {"compute_val_loss": True, "eval_base_model": True}
# What Grafana puts in place of its own variables, zoomed to a run of minutes.
ZOOM = {"__rate_interval": "15s", "__interval": "1s"}
# Places that a short, healthy training without a GPU may leave empty. Regular and EMA weights that score alike are told once.
MAY_BE_SILENT = frozenset(
    {
        "training-run: GPU memory A",
        "training-run: GPU memory B",
        "training-run: Restarts and faults C",
        "training-run: Validation mAP 50:95 A",
    }
)


def fill_for(namespace: str, job: str, began: float) -> dict[str, str]:
    """The boards' variables for one job, from then until now."""
    return {**ZOOM, "namespace": namespace, "job_name": job, "__range": f"{time.time() - began + 5:.0f}s"}


def find_faults(
    prometheus: Prometheus, boards: Mapping[str, Json], groups: Sequence[Json], values: Mapping[str, str], began: float
) -> list[str]:
    """In sentences: expressions without a finite value in the whole run, rules that do not work, alerts that fire."""
    now = time.time()
    silent = {
        place
        for place, expr in list_expressions(boards).items()
        if not prometheus.values(fill(expr, values), began, now)
    }
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    return [
        *(f"{place} is empty" for place in sorted(silent - MAY_BE_SILENT)),
        *(f"{name} records nothing" for name in recorded if not prometheus.values(name, began, now)),
        *find_unhealthy(prometheus, groups),
        *find_firing(prometheus),
    ]


def find_unhealthy(prometheus: Prometheus, groups: Sequence[Json]) -> Iterator[str]:
    """Rules that Prometheus does not have or could not evaluate."""
    health = {
        (group["name"], rule["name"]): rule["lastError"] if rule["health"] != "ok" else ""
        for group in prometheus.ask("rules")["groups"]
        for rule in group["rules"]
    }
    for group in groups:
        for rule in group["rules"]:
            name = rule.get("alert") or rule["record"]
            if error := health.get((group["name"], name), "it is not loaded"):
                yield f"{name}: {error}"


def find_firing(prometheus: Prometheus) -> Iterator[str]:
    """Alerts that fire now."""
    for alert in prometheus.ask("alerts")["alerts"]:
        if alert["state"] == "firing":
            yield f"{alert['labels']['alertname']} fires"
