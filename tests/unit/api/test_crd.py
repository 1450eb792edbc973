"""The CRD is made from the models, is structural, and says all that it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rfdetr_operator.api.crd import build_crd, crd_text

ROOT = Path(__file__).parents[3]


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below this one, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(child := schema.get(key), dict):
            yield from walk(child, f"{path}[]")


def schemas() -> list[tuple[str, dict[str, Any]]]:
    """Every schema of spec and status."""
    root = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return [*walk(root["spec"], "spec"), *walk(root["status"], "status")]


def test_the_stored_crd_is_the_generated_one() -> None:
    """`make crds` was run after the last change."""
    assert crd_text() == (ROOT / "crds" / "rfdetr.io_rfdetrtrainingjobs.yaml").read_text()


def test_the_yaml_reads_back_as_the_same_object() -> None:
    """No string of it reads as a number or a truth value."""
    assert build_crd() == yaml.safe_load(crd_text())


def test_every_field_has_a_description() -> None:
    """`kubectl explain` never shows an empty page."""
    assert [] == [path for path, schema in schemas() if not path.endswith("[]") and not schema.get("description")]


def test_every_string_list_and_map_is_bounded() -> None:
    """The API server refuses rules whose cost it cannot bound."""
    unbounded = [
        path
        for path, schema in schemas()
        if (schema.get("type") == "string" and "maxLength" not in schema and "enum" not in schema)
        or (schema.get("type") == "array" and "maxItems" not in schema)
        or (schema.get("type") == "object" and "properties" not in schema and "maxProperties" not in schema)
    ]

    assert [] == unbounded


def test_no_keyword_is_foreign_to_a_structural_schema() -> None:
    """References, null types and unions other than integer-or-string are gone."""
    foreign = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title", "uniqueItems", "discriminator"}

    assert [] == [(path, key) for path, schema in schemas() for key in schema if key in foreign]


def test_the_printer_columns() -> None:
    """`kubectl get rfj` shows what a user looks for."""
    columns = build_crd()["spec"]["versions"][0]["additionalPrinterColumns"]

    assert ["Phase", "Epoch", "mAP", "Best", "Patience", "ETA", "Nodes", "Restarts", "Age"] == [
        c["name"] for c in columns
    ]
