"""What the Prometheus operator makes of the chart's monitors: scrape configurations that find their targets in Kubernetes."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]


def snake(name: str) -> str:
    """``sourceLabels`` as Prometheus spells it."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def keep_labelled(kind: str, labels: dict[str, str]) -> list[Json]:
    """Only objects with these labels."""
    return [
        {
            "action": "keep",
            "source_labels": [f"__meta_kubernetes_{kind}_label_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"],
            "regex": re.escape(value),
        }
        for name, value in labels.items()
    ]


def keep(label: str, value: str) -> Json:
    """Only targets with this value."""
    return {"action": "keep", "source_labels": [f"__meta_kubernetes_{label}"], "regex": value}


def copy(label: str, target: str) -> Json:
    """A label of the target from what Kubernetes says of it."""
    return {"source_labels": [f"__meta_kubernetes_{label}"], "target_label": target}


def build_discovery(monitor: Json, role: str, kubeconfig: str) -> Json:
    """Where objects are looked for."""
    chosen = monitor["spec"]["namespaceSelector"]
    spaces = {} if chosen.get("any") else {"namespaces": {"names": chosen["matchNames"]}}
    return {"role": role, "kubeconfig_file": kubeconfig, **spaces}


def build_scrape(monitor: Json, endpoint: Json, kubeconfig: str) -> Json:
    """One endpoint of a monitor."""
    pods = monitor["kind"] == "PodMonitor"
    found: list[Json]
    if pods:
        role, kind = "pod", "pod"
        found = [
            {**keep("pod_phase", "Failed|Succeeded"), "action": "drop"},
            keep("pod_container_port_name", endpoint["port"]),
        ]
    else:
        role, kind = "endpointslice", "service"
        found = [keep("endpointslice_port_name", endpoint["port"]), copy("service_name", "service")]
    own = [{snake(key): value for key, value in each.items()} for each in endpoint.get("relabelings", [])]
    return {
        "job_name": f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint["path"],
        "kubernetes_sd_configs": [build_discovery(monitor, role, kubeconfig)],
        "relabel_configs": [
            *keep_labelled(kind, monitor["spec"]["selector"]["matchLabels"]),
            *found,
            copy("namespace", "namespace"),
            copy("pod_name", "pod"),
            *own,
        ],
    }


def build_scrapes(monitor: Json, kubeconfig: str) -> list[Json]:
    """All endpoints of a monitor."""
    endpoints = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    return [build_scrape(monitor, endpoint, kubeconfig) for endpoint in endpoints]
