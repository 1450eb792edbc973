"""A benchmark in a process of its own: whatever happens to it, a record is left, and nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.processes import choose_tree, kill, read_parents
from benchmarks.result import Record, parse_record

LONG_LIMIT = 7200.0


def build_lost(name: str, message: str) -> Record:
    """The record of a benchmark that left none."""
    return Record(name, "went wrong", read_time(), spread=0.0, message=message)


def read_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def run_apart(name: str, options: Sequence[str], limit: float) -> Record:
    """Run `python -m benchmarks NAME`; its words go where ours go."""
    with tempfile.TemporaryDirectory(prefix="rfdetr-record-") as folder:
        file = Path(folder) / "record.json"
        command = [sys.executable, "-m", "benchmarks", name, *options, "--record", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return build_lost(name, f"did not end within {limit:.0f} s")
        finally:
            if process.poll() is None:
                kill(choose_tree(process.pid, read_parents()))
                process.wait()
        if not file.exists():
            return build_lost(name, f"ended with code {code} before its result")
        return parse_record(file.read_text())
