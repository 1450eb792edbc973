"""The table of the chart's values, from its schema (what, which) and its values.yaml (default)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parents[2] / "charts" / "rfdetr-operator"

README: Final = """\
# rfdetr-operator

Trains RF-DETR on Kubernetes: one YAML of kind `RFDETRTrainingJob`, multi-node torchrun, checkpoints that survive a preemption.
Helm 4 or 3.22; Kubernetes 1.33 or newer.

```sh
helm install rfdetr charts/rfdetr-operator --namespace rfdetr-system --create-namespace --set image.registry=$REGISTRY --set trainer.image.registry=$REGISTRY
helm test rfdetr --namespace rfdetr-system
```

- One release serves a cluster. For more than one, give each its `rbac.watchNamespaces`, and all but one `crds.enabled: false`.
- The CRD is upgraded with the release, and stays with every job when the release goes (`crds.keep`).
- Training pods get no PodDisruptionBudget: a drain is a save of every rank, and the pods are made again elsewhere.
- Argo CD learns the health of a job from `files/argocd-health.lua`. Rules and dashboards for users without Helm are in `files/` as they are.

"""
PAGE: Final = """\
# Chart values

Made from the chart by `make chart-docs`. `values.schema.json` holds Helm to it: a value of another name or kind is refused.

"""


@dataclass(frozen=True, slots=True)
class Value:
    """One value that a user may set."""

    path: str
    schema: dict[str, Any]
    default: object


def list_values(schema: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> Iterator[Value]:
    """The leaves, in the order of the schema; what has no default is Helm's own."""
    for name, child in schema["properties"].items():
        if name not in defaults:
            continue
        if "properties" in child:
            yield from list_values(child, defaults[name], f"{prefix}{name}.")
        else:
            yield Value(f"{prefix}{name}", child, defaults[name])


def read_values() -> tuple[Value, ...]:
    """The chart's values as they stand."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    return tuple(list_values(schema, yaml.safe_load((CHART / "values.yaml").read_text())))


def build_table(values: tuple[Value, ...]) -> str:
    """One row a value."""
    rows = [
        f"| `{value.path}` | {describe_kind(value.schema)} | `{json.dumps(value.default)}` | {value.schema['description']} |"
        for value in values
    ]
    return "\n".join(["| Value | Kind | Default | What it does |", "|---|---|---|---|", *rows]) + "\n"


def describe_kind(schema: dict[str, Any]) -> str:
    """The choices, the range or the type."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    kind: str = schema["type"]
    return {"array": "list", "object": "map"}.get(kind, kind)


def build_readme() -> str:
    """The chart's README.md."""
    return README + "## Values\n\n" + build_table(read_values())


def build_page() -> str:
    """The page of the site."""
    return PAGE + build_table(read_values())
