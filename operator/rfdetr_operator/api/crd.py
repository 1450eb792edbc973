"""Models to a structural CRD. ``python -m rfdetr_operator.api.crd FOLDER`` writes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rfdetr_contract import names
from rfdetr_operator.api.v1alpha1 import Spec, Status

Schema = dict[str, Any]
KEPT = (
    "type", "description", "default", "enum", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "minLength", "maxLength", "maxItems", "minItems", "maxProperties", "required", "nullable", "pattern",
)  # fmt: skip
ROOT_RULES = [
    {
        "rule": f"size(self.metadata.name) <= {names.MAX_JOB_NAME}",
        "message": f"metadata.name may have at most {names.MAX_JOB_NAME} characters, because pods and the Service are named after it",
        "messageExpression": "'metadata.name has %d characters; at most "
        f"{names.MAX_JOB_NAME}, because pods and the Service are named after it'.format([size(self.metadata.name)])",
        "fieldPath": ".spec",
        "reason": "FieldValueInvalid",
    },
    {
        "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "message": "metadata.name must be a DNS label that starts with a letter, because the Service is named after it",
        "fieldPath": ".spec",
        "reason": "FieldValueInvalid",
    },
    {
        "rule": "!oldSelf.hasValue() || self.spec.pod == oldSelf.value().spec.pod || "
        "(has(self.status) && has(self.status.phase) && self.status.phase == 'Suspended')",
        "message": "pod can only be changed while the job is suspended (phase Suspended); set spec.suspend: true first",
        "optionalOldSelf": True,
        "fieldPath": ".spec.pod",
        "reason": "FieldValueForbidden",
    },
]
COLUMNS = (
    ("Phase", ".status.phase", "string"),
    ("Epoch", ".status.display.epoch", "string"),
    ("mAP", ".status.display.map", "string"),
    ("Best", ".status.display.best", "string"),
    ("Patience", ".status.display.patience", "string"),
    ("ETA", ".status.display.eta", "string"),
    ("Nodes", ".status.display.nodes", "string"),
    ("Restarts", ".status.restarts.counted", "integer"),
    ("Age", ".metadata.creationTimestamp", "date"),
)


def build_structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """One pydantic JSON schema as a structural one: references inlined, null unions opened, unknown keywords dropped."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        return _build_union(schema, definitions)
    if "const" in schema:
        schema = {**schema, "enum": [schema["const"]], "type": "string"}
    result = {key: schema[key] for key in KEPT if key in schema and schema[key] is not None}
    if isinstance(result.get("default"), dict):
        result["default"] = {}  # the children bring their own defaults
    result |= {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    result |= _build_numbers(result)
    if "items" in schema:
        result["items"] = build_structural(schema["items"], definitions)
    if "properties" in schema:
        children = schema["properties"].items()
        result["properties"] = {name: build_structural(child, definitions) for name, child in children}
        return result
    if isinstance(extra := schema.get("additionalProperties"), dict):
        result["additionalProperties"] = build_structural(extra, definitions)
    elif result.get("type") == "object":
        result["x-kubernetes-preserve-unknown-fields"] = True
    return result


def _build_numbers(schema: Schema) -> Schema:
    """Exclusive bounds as OpenAPI 3.0 says them, and the integer's size."""
    result: Schema = {"format": "int64"} if schema.get("type") == "integer" else {}
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in schema:
            result |= {limit: schema[bound], bound: True}
    return result


def _build_union(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    around = {key: value for key, value in schema.items() if key != "anyOf"}
    if around.get("default", ...) is None:
        del around["default"]
    if len(options) == 1:
        return build_structural({**options[0], **around}, definitions)
    # The only other union that a structural schema allows: an integer or a string.
    kept: Schema = {key: around[key] for key in ("description", "default", "x-kubernetes-validations") if key in around}
    return {"x-kubernetes-int-or-string": True, "maxLength": 16, **kept}


def build_schema(model: type[Spec | Status]) -> Schema:
    """The structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return build_structural(schema, schema.get("$defs", {}))


def build_root() -> Schema:
    """The schema of the whole object."""
    plain = {"type": "string"}
    return {
        "type": "object",
        "description": "A distributed training of RF-DETR that survives preemption.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {**plain, "description": "Version of this resource."},
            "kind": {**plain, "description": "Kind of this resource."},
            "metadata": {"type": "object"},
            "spec": build_schema(Spec),
            "status": build_schema(Status),
        },
        "x-kubernetes-validations": ROOT_RULES,
    }


def build_version() -> dict[str, Any]:
    """The version that is served, with what kubectl prints, scales and selects."""
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": build_root()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.nodes",
                "statusReplicasPath": ".status.nodes",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [{"name": name, "jsonPath": path, "type": kind} for name, path, kind in COLUMNS],
        "selectableFields": [{"jsonPath": ".spec.model.variant"}, {"jsonPath": ".status.phase"}],
    }


def build_crd() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "shortNames": [names.SHORT],
                "categories": [names.CATEGORY],
            },
            "versions": [build_version()],
        },
    }


def render_yaml(value: object, indent: int = 0) -> str:
    """Plain block YAML whose strings are all quoted, so that no string reads as a number or a truth value."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{key}:{_render_child(child, indent)}" for key, child in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}-{_render_item(child, indent)}" for child in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _render_child(child: object, indent: int) -> str:
    if isinstance(child, dict | list) and child:
        return "\n" + render_yaml(child, indent + 1)
    return f" {json.dumps(child, ensure_ascii=False)}\n"


def _render_item(child: object, indent: int) -> str:
    if isinstance(child, dict | list) and child:
        return " " + render_yaml(child, indent + 1).lstrip(" ")
    return f" {json.dumps(child, ensure_ascii=False)}\n"


def crd_text() -> str:
    """The file of ``crds/``."""
    return "# Made from the models by `make crds`; do not edit.\n" + render_yaml(build_crd())


def main(arguments: list[str]) -> int:
    """Write the CRD into the folder given."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m rfdetr_operator.api.crd FOLDER\n")
        return 64
    target = Path(arguments[0]) / f"{names.GROUP}_{names.PLURAL}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(crd_text())
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
