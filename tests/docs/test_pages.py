"""The documentation: every command is run somewhere, every generated page is what its generator says, the site builds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import REPOSITORY, WAYS, list_blocks
from tools.docs import api, metrics

PLACES = (".venv", "examples", "operator", "trainer_image", "pyproject.toml")


def test_every_block_of_commands_says_how_it_is_run() -> None:
    """A command that nobody runs is a promise that nobody keeps."""
    unmarked = [(block.page, block.commands) for block in list_blocks() if block.way not in WAYS]

    assert [] == unmarked


def test_a_make_target_of_the_documentation_is_a_stage_of_the_continuous_integration() -> None:
    """`make demo` and `make test` are run as the README says them."""
    stages = set(re.findall(r"^stage \S+ \d+ (make \S+)", (REPOSITORY / ".ci" / "run").read_text(), re.MULTILINE))
    shown = {command for block in list_blocks() if block.way == "make" for command in block.commands}

    assert set() == shown - stages


@pytest.mark.parametrize(("name", "page"), [("api", api.build_page()), ("metrics", metrics.build_page())])
def test_a_reference_page_is_what_its_generator_says(name: str, page: str) -> None:
    """Mended by `make docs-reference`."""
    assert page == (REPOSITORY / "docs" / "reference" / f"{name}.md").read_text()


def test_the_site_builds_without_a_dead_link(tmp_path: Path) -> None:
    """mkdocs in its strict mode: a warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert (0, True) == (done.returncode, (tmp_path / "site" / "index.html").is_file()), done.stderr


@pytest.mark.timeout(600)
def test_the_laptop_pages_commands_work_as_they_stand(tmp_path: Path) -> None:
    """A real training on two local ranks, preempted once, from the commands of the page."""
    for place in PLACES:
        (tmp_path / place).symlink_to(REPOSITORY / place)
    commands = [command for block in list_blocks() if block.way == "laptop" for command in block.commands]
    environ = {**os.environ, "PYTHONPATH": "operator:trainer_image", "OMP_NUM_THREADS": "1"}
    seen = []
    for command in dict.fromkeys(commands):
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        seen.append((done.returncode, command, done.stdout[-2000:] + done.stderr[-2000:] if done.returncode else ""))

    assert [(0, command, "") for command in dict.fromkeys(commands)] == seen
