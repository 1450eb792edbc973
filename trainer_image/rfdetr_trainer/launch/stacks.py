"""Python stacks of living workers, as faulthandler writes them, and whether a process is stopped."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path

DUMP_SIGNAL = signal.SIGUSR1  # a worker answers with the stacks of all its threads, even inside native code
DUMP_SECONDS = 1.0
CALLS_LIMIT = 16

HEAD = re.compile(r"^(Current thread|Thread) .*\(most recent call first\):$")
CALL = re.compile(r'^  File "(.+)", line (\d+) in (.+)$')


def parse_calls(lines: Iterable[str]) -> tuple[str, ...]:
    """The main thread's calls, the innermost first: faulthandler tells of the oldest thread last."""
    calls: list[str] = []
    for line in lines:
        if HEAD.match(line):
            calls = []
        elif found := CALL.match(line):
            file, number, function = found.groups()
            calls.append(f"{function} ({Path(file).name}:{number})")
    return tuple(calls[:CALLS_LIMIT])


def is_stopped(pid: int) -> bool:
    """The process is stopped by a signal or a debugger: it can neither work nor answer."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False
