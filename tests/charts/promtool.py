"""Prometheus' own tool, run on files that a test makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from promql import Json


def run_promtool(promtool: str, *arguments: str, files: dict[str, Json], folder: Path) -> str:
    """What promtool says of these files; empty when it is content."""
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    done = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
