"""What a PromQL expression asks for, and the expressions of a dashboard or a rule file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser

from rfdetr_contract.metrics import OPERATOR, TRAINER, Metric

Json = dict[str, Any]
BOARDS = Path(__file__).parents[1] / "charts/rfdetr-operator/files/dashboards"
# What Grafana puts in place of its own variables, at a usual zoom.
GRAFANA = {"__rate_interval": "2m", "__interval": "30s", "__range": "1h"}
# Labels that the scrape gives to every series: by the PodMonitor's and the ServiceMonitor's relabelling.
TARGET_LABELS = frozenset({"namespace", "job_name", "node_rank", "pod", "instance", "job", "service", "container"})


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and the labels that choose among its series."""

    name: str
    labels: frozenset[str]


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with ``$name`` and ``${name}`` replaced; unknown names stay."""
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: values.get(found[1] or found[2], found[0]), text)


def read_selectors(expr: str) -> list[Selector]:
    """Every selector of an expression; raises ``ValueError`` where it does not parse."""
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(Selector(node.name or "", frozenset(each.name for each in node.matchers.matchers)))

    promql_parser.walk(promql_parser.parse(fill(expr, GRAFANA)), visit)
    return found


def spell(metric: Metric) -> Iterator[tuple[str, frozenset[str]]]:
    """The series of a metric by name, with the labels that they may have."""
    labels = frozenset(metric.labels) | TARGET_LABELS
    if metric.kind == "histogram":
        yield from ((f"{metric.name}_{part}", labels) for part in ("sum", "count"))
        yield f"{metric.name}_bucket", labels | {"le"}
    else:
        yield metric.name, labels


KNOWN: Mapping[str, frozenset[str]] = {
    name: labels for metric in (*TRAINER, *OPERATOR) for name, labels in spell(metric)
}


def find_strangers(expr: str) -> list[str]:
    """Names and labels of an expression that the contract does not know."""
    return [
        f"{selector.name}{sorted(selector.labels - KNOWN.get(selector.name, frozenset()))}"
        for selector in read_selectors(expr)
        if not selector.labels <= KNOWN.get(selector.name, frozenset()) or selector.name not in KNOWN
    ]


def read_panels(board: Json) -> list[Json]:
    """The panels that draw something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def read_expressions(board: Json) -> dict[str, str]:
    """Every expression of a board by the place where it stands: panels, annotations."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in read_panels(board)
        for target in panel["targets"]
    }
    return found | {f"annotation {each['name']}": each["expr"] for each in board["annotations"]["list"]}


def read_boards() -> dict[str, Json]:
    """The shipped boards by their file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(BOARDS.glob("*.json"))}


def list_expressions(boards: Mapping[str, Json]) -> dict[str, str]:
    """Every expression of every board, by board and place."""
    return {
        f"{name}: {place}": expr for name, board in boards.items() for place, expr in read_expressions(board).items()
    }
