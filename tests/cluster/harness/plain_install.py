"""`charts/install.yaml`, as a user without Helm applies it, with this run's images."""

from __future__ import annotations

import yaml

from .cluster import Cluster
from .paths import REPOSITORY


def build_manifest(cluster: Cluster, *, replicas: int = 1) -> str:
    """All of it but the CRD, which outlives the operator of a test."""
    text = (REPOSITORY / "charts" / "install.yaml").read_text()
    for name, image in (("rfdetr-operator", cluster.images.operator), ("rfdetr-trainer", cluster.images.quick)):
        text = text.replace(f"{name}:0.1.0", image)
    objects = [each for each in yaml.safe_load_all(text) if each["kind"] != "CustomResourceDefinition"]
    for each in objects:
        if each["kind"] == "Deployment":
            each["spec"]["replicas"] = replicas
    return yaml.safe_dump_all(objects, sort_keys=False)
