"""What the Prometheus operator makes of a PodMonitor and a ServiceMonitor.

Debian's Prometheus is built without service discovery of Kubernetes: pods and EndpointSlices come to it by file, with the
labels that its own discovery gives them. Selecting and relabelling is left to Prometheus.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.harness.cluster import Cluster
from promql import Json

PAUSE = 1.0  # seconds between two looks at the cluster
KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
GROUP = "monitoring.coreos.com"
META = "__meta_kubernetes"
# Fields that are understood; a monitor with others would be scraped otherwise than it asks for.
SPEC_FIELDS = {"namespaceSelector", "selector", "endpoints", "podMetricsEndpoints"}
ENDPOINT_FIELDS = {
    "port", "path", "honorLabels", "interval", "scrapeTimeout", "relabelings", "metricRelabelings",
}  # fmt: skip
TIMES = {"scrape_interval": "interval", "scrape_timeout": "scrapeTimeout"}


def build_kinds() -> str:
    """The kinds that the chart's monitors and rules need: their names, and any content."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.lower()}s.{GROUP}"},
            "spec": {
                "group": GROUP,
                "names": {"kind": kind, "plural": f"{kind.lower()}s"},
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        }
        for kind in KINDS
    )


def build_scrapes(monitor: Json, targets: Path) -> list[Json]:
    """The scrape configurations of a monitor: one for each of its endpoints."""
    spec, unknown = monitor["spec"], set(monitor["spec"]) - SPEC_FIELDS
    endpoints = spec["podMetricsEndpoints" if monitor["kind"] == "PodMonitor" else "endpoints"]
    unknown |= {field for endpoint in endpoints for field in endpoint} - ENDPOINT_FIELDS
    assert (set(), {"matchLabels"}) == (unknown, set(spec["selector"]))
    return [
        {
            "job_name": f"{monitor['kind']}/{name_object(monitor)}/{number}",
            "file_sd_configs": [{"files": [str(targets)]}],
            "honor_labels": endpoint.get("honorLabels", False),
            "metrics_path": endpoint["path"],
            "relabel_configs": [
                *select(monitor, endpoint),
                *name_target(monitor, endpoint),
                *map(spell, endpoint.get("relabelings", [])),
            ],
            "metric_relabel_configs": [*map(spell, endpoint.get("metricRelabelings", []))],
            **{field: endpoint[key] for field, key in TIMES.items() if key in endpoint},
        }
        for number, endpoint in enumerate(endpoints)
    ]


def select(monitor: Json, endpoint: Json) -> Iterator[Json]:
    """Pods that have not ended, by the labels of the pod or of the Service in front, and by the port's name."""
    pods = monitor["kind"] == "PodMonitor"
    thing = "pod" if pods else "service"
    for key, value in monitor["spec"]["selector"]["matchLabels"].items():
        sources = [f"{META}_{thing}_{part}_{clean(key)}" for part in ("label", "labelpresent")]
        yield {"action": "keep", "source_labels": sources, "regex": f"({value});true"}
    port = "pod_container_port_name" if pods else "endpointslice_port_name"
    yield {"action": "keep", "source_labels": [f"{META}_{port}"], "regex": endpoint["port"]}
    yield {"action": "drop", "source_labels": [f"{META}_pod_phase"], "regex": "(Failed|Succeeded)"}


def name_target(monitor: Json, endpoint: Json) -> Iterator[Json]:
    """The labels that every target gets, before those of the monitor's own relabelings."""
    sources = {"namespace": "namespace", "pod": "pod_name", "container": "pod_container_name"}
    if monitor["kind"] == "ServiceMonitor":
        sources |= {"service": "service_name", "job": "service_name"}
    else:
        yield {"target_label": "job", "replacement": name_object(monitor)}
    for label, source in sources.items():
        yield {"target_label": label, "source_labels": [f"{META}_{source}"]}
    yield {"target_label": "endpoint", "replacement": endpoint["port"]}


def spell(relabeling: Mapping[str, Any]) -> Json:
    """A relabeling of a monitor as Prometheus writes it: sourceLabels are source_labels."""
    return {
        re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value.lower() if key == "action" else value
        for key, value in relabeling.items()
    }


def name_object(thing: Json) -> str:
    """NAMESPACE/NAME."""
    return f"{thing['metadata']['namespace']}/{thing['metadata']['name']}"


def clean(name: str) -> str:
    """A label's name as Prometheus' discovery writes it."""
    return re.sub("[^a-zA-Z0-9_]", "_", name)


def describe(thing: Json, role: str) -> Json:
    """Namespace, name and labels of an object as a discovery tells them."""
    found = {f"{META}_namespace": thing["metadata"]["namespace"], f"{META}_{role}_name": thing["metadata"]["name"]}
    for key, value in thing["metadata"].get("labels", {}).items():
        found |= {f"{META}_{role}_label_{clean(key)}": value, f"{META}_{role}_labelpresent_{clean(key)}": "true"}
    return found


def describe_pod(pod: Json) -> Json:
    """A pod as a discovery tells it."""
    fields = {"phase": "phase", "ip": "podIP", "host_ip": "hostIP"}
    state = {f"{META}_pod_{label}": pod["status"].get(field, "") for label, field in fields.items()}
    return describe(pod, "pod") | state | {f"{META}_pod_node_name": pod["spec"].get("nodeName", "")}


def describe_ports(pod: Json) -> Iterator[tuple[int, Json]]:
    """The ports of its containers."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            labels = {"name": container["name"], "image": container["image"], "port_name": port.get("name", "")}
            yield port["containerPort"], {f"{META}_pod_container_{key}": value for key, value in labels.items()}


def discover_pods(objects: Sequence[Json]) -> Iterator[Json]:
    """The role ``pod``: a target for each port of each container of a pod that has an address."""
    for pod in objects:
        if pod["kind"] == "Pod" and (address := pod["status"].get("podIP")):
            for port, labels in describe_ports(pod):
                yield {"targets": [f"{address}:{port}"], "labels": describe_pod(pod) | labels}


def discover_endpoints(objects: Sequence[Json]) -> Iterator[Json]:
    """The role ``endpointslice``: a target for each address and port, with what is known of its Service and its pod."""
    known = {(each["kind"], name_object(each)): each for each in objects}
    for piece in objects:
        if piece["kind"] != "EndpointSlice":
            continue
        namespace = piece["metadata"]["namespace"]
        service = known.get(("Service", f"{namespace}/{piece['metadata']['labels']['kubernetes.io/service-name']}"))
        shared = describe(piece, "endpointslice") | (describe(service, "service") if service else {})
        for endpoint in piece.get("endpoints") or []:
            pod = known.get(("Pod", f"{namespace}/{endpoint.get('targetRef', {}).get('name')}"))
            for port in piece.get("ports") or []:
                own = {f"{META}_endpointslice_port_name": port.get("name", "")}
                if pod is not None:
                    own |= describe_pod(pod) | dict(describe_ports(pod)).get(port["port"], {})
                for address in endpoint["addresses"]:
                    yield {"targets": [f"{address}:{port['port']}"], "labels": shared | own}


DISCOVERIES = {"PodMonitor": discover_pods, "ServiceMonitor": discover_endpoints}


def write_targets(cluster: Cluster, files: Mapping[Path, Json]) -> None:
    """What is in the cluster now, for each monitor in the namespaces that it looks at."""
    found = json.loads(cluster.kubectl("get", "pods,services,endpointslices", "-A", "-o", "json"))["items"]
    for file, monitor in files.items():
        selector = monitor["spec"].get("namespaceSelector", {})
        names = selector.get("matchNames") or [monitor["metadata"]["namespace"]]
        seen = [each for each in found if selector.get("any") or each["metadata"]["namespace"] in names]
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(list(DISCOVERIES[monitor["kind"]](seen))))
        fresh.rename(file)


@contextmanager
def scraping(cluster: Cluster, monitors: Sequence[Json], folder: Path) -> Iterator[list[Json]]:
    """Scrape configurations of these monitors; their targets are kept up to date for the block."""
    folder.mkdir(parents=True)
    files = {folder / f"{monitor['kind']}-{monitor['metadata']['name']}.json": monitor for monitor in monitors}
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(PAUSE):
            write_targets(cluster, files)

    write_targets(cluster, files)
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(keep)
        try:
            yield [scrape for file, monitor in files.items() for scrape in build_scrapes(monitor, file)]
        finally:
            ended.set()
        kept.result()
