"""The release's workflow, looked at by actionlint, which is built like the cluster's programs."""

from __future__ import annotations

import os
import shutil

import pytest

from cluster.harness.cluster import build_env
from cluster.harness.commands import run
from cluster.harness.paths import REPOSITORY, read_paths

pytestmark = pytest.mark.cluster


def test_actionlint_finds_nothing_in_the_workflow() -> None:
    """Expressions, contexts, and what the steps' scripts may see."""
    env = build_env(read_paths(dict(os.environ)))
    if shutil.which("actionlint", path=env["PATH"]) is None:
        pytest.skip("actionlint could not be built here")

    assert "" == run(["actionlint", "-no-color", str(REPOSITORY / ".github" / "workflows" / "release.yml")], env=env)
