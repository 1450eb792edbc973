"""What stands in the repository twice is the same twice, and reads well."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from charts.chart import CHART, ROOT, identities, pick, release
from rfdetr_contract import names
from tools.chart.install import build_install
from tools.chart.values import build_page, build_readme

CRD = ROOT / "crds" / "rfdetr.io_rfdetrtrainingjobs.yaml"
RULES = YamlLintConfig("""
extends: default
rules:
  line-length: disable
  document-start: disable
  comments-indentation: disable
  braces: {max-spaces-inside: 0}
  truthy: {check-keys: false}
  indentation: {spaces: 2, indent-sequences: consistent}
""")
FILES = [
    *sorted(CHART.glob("*.yaml")),
    *sorted((CHART / "files").rglob("*.yaml")),
    *sorted((ROOT / "examples").glob("*.yaml")),
    ROOT / "charts" / "install.yaml",
    CRD,
]


def test_the_charts_crd_is_the_generated_one() -> None:
    """`make crds` writes both."""
    assert CRD.read_text() == (CHART / "files" / "crds" / CRD.name).read_text()


@pytest.mark.parametrize("keep", [True, False])
def test_the_release_installs_the_generated_crd(keep: bool) -> None:
    """Its spec value for value; `keep` is an annotation and nothing else."""
    expected = yaml.safe_load(CRD.read_text())
    found = pick(release({"crds": {"keep": keep}}), expected["kind"], expected["metadata"]["name"])

    assert expected["spec"] == found["spec"]
    assert ({"helm.sh/resource-policy": "keep"} if keep else None) == found["metadata"].get("annotations")


def test_the_manifest_without_helm_is_the_rendered_chart() -> None:
    """`make install-yaml` was run after the last change."""
    assert build_install() == (ROOT / "charts" / "install.yaml").read_text()


def test_the_manifest_without_helm_does_not_claim_to_be_helms() -> None:
    """The same objects as a release, less the test hook, plus the namespace."""
    objects = list(yaml.safe_load_all((ROOT / "charts" / "install.yaml").read_text()))
    text = (ROOT / "charts" / "install.yaml").read_text()

    assert ("Namespace", "CustomResourceDefinition") == (objects[0]["kind"], objects[1]["kind"])
    assert len(identities(release({"tests": {"enabled": False}}))) + 1 == len(objects)
    assert ("helm.sh" in text, "Helm\n" in text) == (False, False)


def test_the_tables_of_values_are_what_the_chart_says() -> None:
    """`make chart-docs` was run after the last change."""
    assert (build_readme(), build_page()) == (
        (CHART / "README.md").read_text(),
        (ROOT / "docs" / "reference" / "values.md").read_text(),
    )


def test_the_chart_is_of_the_projects_version_and_resource() -> None:
    """appVersion is the default tag of both images."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (listed,) = yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])

    assert project["version"] == chart["appVersion"]
    assert (names.KIND, names.VERSION, f"{names.PLURAL}.{names.GROUP}") == (
        listed["kind"],
        listed["version"],
        listed["name"],
    )


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_yaml_reads_well(path: Path) -> None:
    """yamllint's defaults, with lines as long as they need to be."""
    assert [] == [f"{found.line}: {found.desc}" for found in linter.run(path.read_text(), RULES)]
