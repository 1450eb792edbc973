"""The recipe of the images and the release's workflow, looked at by their linters."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
LINTERS = [
    pytest.param(["hadolint", "--no-color", "Dockerfile"], id="hadolint"),
    pytest.param(["zizmor", "--offline", "--quiet", "--color=never", "--persona=auditor", str(WORKFLOW)], id="zizmor"),
    pytest.param(
        ["check-jsonschema", "--quiet", "--builtin-schema=vendor.github-workflows", str(WORKFLOW)], id="workflow schema"
    ),
]


@pytest.mark.parametrize("command", LINTERS)
def test_a_linter_finds_nothing(command: list[str]) -> None:
    """Not even a remark, from its strictest point of view."""
    done = subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stdout.strip().removeprefix("No findings to report. Good job!"))


def test_every_script_of_the_workflow_is_a_script() -> None:
    """bash reads each of them."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    broken = [
        script
        for script in scripts
        if subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).returncode
    ]

    assert (True, []) == (len(scripts) > 5, broken)


def test_the_images_say_what_they_are_and_run_as_nobody_in_particular() -> None:
    """OCI labels, a numeric user, no health check of their own: probes are the cluster's."""
    text = (ROOT / "Dockerfile").read_text()
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", text))

    assert {"title", "description", "licenses", "version", "revision", "created", "source"} == labels
    assert (["10001:10001", "10001:10001"], False) == (
        re.findall(r"^USER (\S+)$", text, re.MULTILINE),
        "HEALTHCHECK" in text,
    )
