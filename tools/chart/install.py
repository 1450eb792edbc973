"""The chart with its defaults, rendered: what a user without Helm applies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml
from helm_python import Chart

from tools.chart.values import CHART

NAME: Final = "rfdetr-operator"
NAMESPACE: Final = "rfdetr-system"
HELMS_OWN: Final = ("helm.sh/", "app.kubernetes.io/managed-by")
ORDER: Final = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
HEAD: Final = """\
# Made from the chart by `make install-yaml`; do not edit. Put your images in, then: kubectl apply --server-side -f install.yaml
"""

Manifest = dict[str, Any]


def render(values: Mapping[str, Any], *, name: str, namespace: str) -> list[Manifest]:
    """The objects of a release, hooks too, without the notes."""
    with Chart.load(CHART) as chart:
        files = chart.render(dict(values), name=name, namespace=namespace)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def strip_helm(manifest: Manifest) -> Manifest:
    """Without labels and annotations by which Helm knows its own."""
    metadata = dict(manifest["metadata"])
    for key in ("labels", "annotations"):
        kept = {name: value for name, value in metadata.pop(key, {}).items() if not name.startswith(HELMS_OWN)}
        metadata |= {key: kept} if kept else {}
    return {**manifest, "metadata": metadata}


def sort_manifests(manifests: Iterable[Manifest]) -> list[Manifest]:
    """What others need comes first."""
    return sorted(manifests, key=lambda each: ORDER.index(each["kind"]) if each["kind"] in ORDER else len(ORDER))


def build_install() -> str:
    """charts/install.yaml."""
    namespace: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    rendered = render({"tests": {"enabled": False}}, name=NAME, namespace=NAMESPACE)
    objects = [namespace, *(strip_helm(manifest) for manifest in sort_manifests(rendered))]
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=1000, allow_unicode=True)
