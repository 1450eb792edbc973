"""The API reference from the resource's own schema: ``python -m tools.docs.api`` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rfdetr_contract import names
from rfdetr_operator.api.crd import build_schema
from rfdetr_operator.api.v1alpha1 import Spec, Status

Schema = dict[str, Any]
INTRO = f"""\
# API reference

`{names.API_VERSION}`, kind `{names.KIND}`, short name `{names.SHORT}`. Made from the models by `make docs-reference`; the same words are in
`kubectl explain {names.SHORT}.spec`.

Only `suspend`, `nodes`, `runPolicy` and, while the job is suspended, `pod` can be changed; everything else is a new job.
"""


def build_type(schema: Schema) -> str:
    """What a field takes, in one phrase."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema.get("type") == "array":
        return f"list of {build_type(schema['items'])}"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return "map of strings"
    return str(schema.get("type", "object")) + build_range(schema)


def build_range(schema: Schema) -> str:
    """The bounds of a number, or the longest string."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {'above ' if schema.get('exclusiveMinimum') else ''}{low:,} to {high:,}"
    return f", at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""


def build_sections(path: str, schema: Schema) -> Iterator[str]:
    """One table for an object, then those of the objects in it."""
    required = set(schema.get("required", ()))
    lines = [f"## `{path}`", "", schema.get("description", ""), "", "| Field | Type | What it is |", "|---|---|---|"]
    nested: list[tuple[str, Schema]] = []
    for name, child in schema["properties"].items():
        inner = child.get("items", child)
        mark = " *(required)*" if name in required else ""
        lines.append(f"| `{name}`{mark} | {build_type(child)} | {child.get('description', '').replace('|', '/')} |")
        if "properties" in inner:
            nested.append((f"{path}.{name}" + ("[]" if inner is not child else ""), inner))
    yield "\n".join(lines) + "\n"
    for inner_path, inner in nested:
        yield from build_sections(inner_path, inner)


def build_page() -> str:
    """The whole page."""
    parts = [INTRO, *build_sections("spec", build_schema(Spec)), *build_sections("status", build_schema(Status))]
    return "\n".join(parts)


if __name__ == "__main__":
    print(build_page(), end="")
