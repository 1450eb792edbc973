"""What the Prometheus operator makes of the chart's monitors: scrape configurations whose targets come from Kubernetes.

Not every Prometheus is built with discovery of Kubernetes, so objects of the API server become targets here, under the
names that it gives them; choosing among them and relabelling is Prometheus' own work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
META = "__meta_kubernetes_"


def snake(name: str) -> str:
    """``sourceLabels`` as Prometheus spells it."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def legal(name: str) -> str:
    """A label's name as Prometheus allows it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def keep(label: str, value: str) -> Json:
    """Only targets with this value."""
    return {"action": "keep", "source_labels": [META + label], "regex": value}


def copy(label: str, target: str) -> Json:
    """A label of the target from what Kubernetes says of it."""
    return {"source_labels": [META + label], "target_label": target}


def build_scrape(monitor: Json, endpoint: Json, targets: Path) -> Json:
    """One endpoint of a monitor."""
    found: list[Json]
    if monitor["kind"] == "PodMonitor":
        kind = "pod"
        found = [{**keep("pod_phase", "Failed|Succeeded"), "action": "drop"}, keep("pod_port_name", endpoint["port"])]
    else:
        kind = "service"
        found = [keep("endpointslice_port_name", endpoint["port"]), copy("service_name", "service")]
    spaces = monitor["spec"]["namespaceSelector"].get("matchNames")
    labels = monitor["spec"]["selector"]["matchLabels"]
    own = [{snake(key): value for key, value in each.items()} for each in endpoint.get("relabelings", [])]
    return {
        "job_name": f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint["path"],
        "file_sd_configs": [{"files": [str(targets / f"{kind}s.json")]}],
        "relabel_configs": [
            *([keep("namespace", "|".join(spaces))] if spaces else []),
            *(keep(f"{kind}_label_{legal(name)}", re.escape(value)) for name, value in labels.items()),
            *found,
            copy("namespace", "namespace"),
            copy("pod_name", "pod"),
            *own,
        ],
    }


def build_scrapes(monitor: Json, targets: Path) -> list[Json]:
    """All endpoints of a monitor."""
    endpoints = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    return [build_scrape(monitor, endpoint, targets) for endpoint in endpoints]


def describe(kind: str, body: Json) -> dict[str, str]:
    """Namespace, name and labels of an object."""
    labels = (body["metadata"].get("labels") or {}).items()
    meta = {f"{META}{kind}_label_{legal(name)}": value for name, value in labels}
    return meta | {META + "namespace": body["metadata"]["namespace"], f"{META}{kind}_name": body["metadata"]["name"]}


def list_pods(pods: list[Json]) -> Iterator[Json]:
    """A target for each port that a container declares."""
    for pod in pods:
        address = pod["status"].get("podIP")
        ports = [port for each in pod["spec"]["containers"] for port in each.get("ports", [])]
        for port in ports if address else []:
            own = {META + "pod_phase": pod["status"]["phase"], META + "pod_port_name": port.get("name", "")}
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": describe("pod", pod) | own}


def list_services(slices: list[Json], services: list[Json]) -> Iterator[Json]:
    """A target for each address behind a Service, with the Service's labels."""
    known = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in services}
    for piece in slices:
        meta = piece["metadata"]
        service = known.get((meta["namespace"], (meta.get("labels") or {}).get("kubernetes.io/service-name")))
        if service is None:
            continue
        for endpoint in piece.get("endpoints") or []:
            for port in piece.get("ports") or []:
                own = {
                    META + "endpointslice_port_name": port.get("name") or "",
                    META + "pod_name": (endpoint.get("targetRef") or {}).get("name", ""),
                }
                address = f"{endpoint['addresses'][0]}:{port['port']}"
                yield {"targets": [address], "labels": describe("service", service) | own}


def write_targets(kubectl: Callable[..., str], folder: Path) -> None:
    """What the API server knows now, for Prometheus to choose from."""

    def read(resource: str) -> list[Json]:
        found: list[Json] = json.loads(kubectl("get", resource, "--all-namespaces", "-o", "json"))["items"]
        return found

    lists = {
        "pods.json": list(list_pods(read("pods"))),
        "services.json": list(list_services(read("endpointslices"), read("services"))),
    }
    folder.mkdir(exist_ok=True)
    for name, targets in lists.items():
        fresh = folder / f"{name}.new"
        fresh.write_text(json.dumps(targets))
        fresh.rename(folder / name)
