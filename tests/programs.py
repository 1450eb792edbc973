"""Programs that some tests need and that a machine may not have."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def find(name: str) -> str | None:
    """The program's path: on PATH, or beside this Python, where ``make`` puts what it unpacks."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def need(name: str) -> str:
    """The program's path. Without it the test is skipped, or fails where nothing may be skipped (RFDETR_REQUIRE_TOOLS=1)."""
    found = find(name)
    if found is not None:
        return found
    words = f"{name} is not on PATH; tests/prometheus.sh FOLDER unpacks it"
    if os.environ.get("RFDETR_REQUIRE_TOOLS") == "1":
        pytest.fail(words)
    pytest.skip(words)
