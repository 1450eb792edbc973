"""Programs that some tests need and that a machine may not have."""

from __future__ import annotations

import os
import shutil

import pytest


def need(name: str) -> str:
    """The program's path. Without it the test is skipped, or fails where nothing may be skipped (RFDETR_REQUIRE_TOOLS=1)."""
    found = shutil.which(name)
    if found is not None:
        return found
    words = f"{name} is not on PATH; tests/prometheus.sh FOLDER unpacks it"
    if os.environ.get("RFDETR_REQUIRE_TOOLS") == "1":
        pytest.fail(words)
    pytest.skip(words)
