"""Process 1 of a container gets only the signals that it has a handler for: both have one before they import anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CAUGHT = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    found = CAUGHT.search(Path(f"/proc/{pid}/status").read_text())
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


@contextmanager
def begun(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """The module as a process that has just begun."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "trainer_image"))
    command, env = [sys.executable, "-m", module], {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("module", "code"), [("rfdetr_operator", 143), ("rfdetr_trainer.launch", 75)])
def test_sigterm_is_heard_from_the_first_moment(module: str, code: int) -> None:
    """The exit code is its own, not the kernel's, and it comes at once: nothing has begun."""
    with begun(module) as process:
        deadline = time.monotonic() + 30
        while not catches(process.pid, signal.SIGTERM):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        assert code == process.wait(30)
