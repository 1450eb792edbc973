"""What the tree must never hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_standard_librarys_operator_is_not_shadowed() -> None:
    """`operator/` is a folder, never a package."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_python_in_the_root_still_finds_its_own_operator() -> None:
    """A namespace folder loses against the standard library."""
    code = "import operator; print(operator.eq(1, 1))"

    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "True\n" == found.stdout


def test_the_locks_name_no_host() -> None:
    """A lock pins by hash; where the files come from is the machine's business."""
    named = [path.name for path in (ROOT / "locks").glob("*.txt") if "://" in path.read_text()]

    assert [] == named
