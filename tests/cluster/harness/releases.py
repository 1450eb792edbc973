"""Releases of the chart on the cluster, by the real Helm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .commands import run
from .paths import REPOSITORY

CHART = REPOSITORY / "charts" / "rfdetr-operator"


def build_image(name: str) -> dict[str, str]:
    """REGISTRY/REPOSITORY:TAG as the chart's values; the nodes have the image already."""
    path, _, tag = name.rpartition(":")
    registry, _, repository = path.rpartition("/")
    return {"registry": registry, "repository": repository, "tag": tag}


def build_values(cluster: Cluster, news: Mapping[str, Any]) -> dict[str, Any]:
    """Values by which the release runs this cluster's images."""
    return {
        "image": build_image(cluster.images.operator),
        "trainer": {"image": build_image(cluster.images.quick)},
        **news,
    }


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the chart; ``home`` is where Helm keeps what it remembers."""

    cluster: Cluster
    name: str
    namespace: str
    home: Path

    @property
    def fullname(self) -> str:
        """A release that is named after the chart is not named twice."""
        return self.name if CHART.name in self.name else f"{self.name}-{CHART.name}"

    def command(self, *argv: str) -> list[str]:
        """The words that run Helm for this release's namespace."""
        return self.cluster.argv("helm", "--namespace", self.namespace, *argv)

    @property
    def env(self) -> dict[str, str]:
        homes = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        return self.cluster.env | {name: str(self.home / name) for name in homes}

    def helm(self, *argv: str, stdin: str | None = None) -> str:
        return run(self.command(*argv), env=self.env, stdin=stdin, seconds=150)

    def install(self, values: Mapping[str, Any]) -> str:
        """Installed and ready. A CRD that is there already, by whomever, becomes this release's."""
        words = ["install", self.name, str(CHART), "--create-namespace", "--wait", "--timeout=90s", "--values=-"]
        if values.get("crds", {}).get("enabled", True):
            words.append("--take-ownership")
        return self.helm(*words, stdin=json.dumps(build_values(self.cluster, values)))

    def build_upgrade(self, *settings: str) -> list[str]:
        """The words of an upgrade to the same chart with other values."""
        changed = [f"--set={setting}" for setting in settings]
        return ["upgrade", self.name, str(CHART), "--reuse-values", "--wait", "--timeout=90s", *changed]

    def list_objects(self) -> list[dict[str, Any]]:
        """The release's objects as they are stored, with who owns which field."""
        manifest = self.helm("get", "manifest", self.name)
        found = self.cluster.kubectl("get", "-f", "-", "-o", "json", "--show-managed-fields", stdin=manifest)
        items: list[dict[str, Any]] = json.loads(found)["items"]
        return items

    def read_pods(self) -> set[str]:
        """Names of the operator's pods, without those that are on their way out."""
        label = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=operator"
        found = self.cluster.kubectl("-n", self.namespace, "get", "pods", "-l", label, "-o", "json")
        pods = [each["metadata"] for each in json.loads(found)["items"]]
        return {each["name"] for each in pods if "deletionTimestamp" not in each}


@contextmanager
def installed(release: Release, values: Mapping[str, Any]) -> Iterator[Release]:
    """The release for the block; its namespace goes too."""
    release.install(values)
    try:
        yield release
    finally:
        release.helm("uninstall", release.name, "--ignore-not-found", "--wait")
        release.cluster.kubectl("delete", "namespace", release.namespace, "--ignore-not-found", "--wait=false")
