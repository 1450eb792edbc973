"""A Prometheus and the boards of a Grafana, set up from what a release of the chart has left in the API server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from board_check import fill_for
from cluster.harness.releases import Release
from cluster.jobs import Watched
from cluster.scrapes import GROUP, scraping
from prometheus import Prometheus, running_prometheus
from promql import Json, fill, list_expressions

PORT = 9090  # of Prometheus, in the control plane's network
SECOND = "1s"  # between two scrapes, and between two evaluations where a group of rules does not say


@dataclass(frozen=True, slots=True)
class Watch:
    """A Prometheus with the release's rules, and the boards beside it."""

    prometheus: Prometheus
    boards: dict[str, Json]
    groups: list[Json]
    began: float

    def read_targets(self) -> list[tuple[Json, str]]:
        """Labels and health of all that is scraped."""
        found = self.prometheus.ask("targets", state="active")["activeTargets"]
        return sorted(((each["labels"], each["health"]) for each in found), key=lambda each: str(each[0]["instance"]))

    def ask(self, place: str, job: Watched) -> list[tuple[Json, list[float]]]:
        """What a place of a board has drawn so far: the labels of each series, and its values."""
        values = fill_for(job.namespace, job.name, self.began)
        expr, now = fill(list_expressions(self.boards)[place], values), time.time()
        found = self.prometheus.ask("query_range", query=expr, start=str(self.began), end=str(now), step="1")
        return [(each["metric"], [float(value) for _, value in each["values"]]) for each in found["result"]]


def read_objects(release: Release, kinds: str, label: str) -> list[Json]:
    """Objects of these kinds with this label, as the API server has them."""
    found = release.cluster.kubectl("-n", release.namespace, "get", kinds, "-l", label, "-o", "json")
    items: list[Json] = json.loads(found)["items"]
    return items


def read_boards(release: Release) -> dict[str, Json]:
    """What Grafana's sidecar would load."""
    files = [
        file for each in read_objects(release, "configmaps", "grafana_dashboard=1") for file in each["data"].items()
    ]
    return {name.removeprefix("rfdetr-").removesuffix(".json"): json.loads(text) for name, text in files}


@contextmanager
def watched(release: Release, folder: Path) -> Iterator[Watch]:
    """Prometheus as the Prometheus operator would set it up for the release; it has ended after the block."""
    own = f"app.kubernetes.io/instance={release.name}"
    monitors = read_objects(release, f"servicemonitors.{GROUP},podmonitors.{GROUP}", own)
    groups = [
        group for rule in read_objects(release, f"prometheusrules.{GROUP}", own) for group in rule["spec"]["groups"]
    ]
    rules = folder / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups}))
    with scraping(release.cluster, monitors, folder / "targets") as scrapes:
        config = {
            "global": {"evaluation_interval": SECOND},
            "rule_files": [str(rules)],
            "scrape_configs": scrapes,
        }
        prefix = tuple(release.cluster.argv())
        with running_prometheus(folder / "prometheus", PORT, config, prefix) as prometheus:
            yield Watch(prometheus, read_boards(release), groups, time.time())
