"""Background programs, each known by its process id and start time, so that ending one never hits a stranger."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def read_start_time(pid: int) -> str | None:
    """The kernel's start time of a process: with the id it names one process for ever."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else fields[19]


def is_alive(pid_file: Path) -> bool:
    try:
        pid, start = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return False
    return read_start_time(int(pid)) == start


def read_pid(pid_file: Path) -> int:
    return int(pid_file.read_text().split()[0])


def start_daemon(pid_file: Path, argv: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> None:
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            start_new_session=True,
        )
    pid_file.write_text(f"{child.pid} {read_start_time(child.pid)}")
    # The file is the owner from here on, in this process or a later one; a finaliser that waits would be a second.
    child.returncode = 0


def end_daemon(pid_file: Path, *, by: signal.Signals = signal.SIGKILL, seconds: float = 10.0) -> None:
    if is_alive(pid_file):
        pid = read_pid(pid_file)
        os.kill(pid, by)
        deadline = time.monotonic() + seconds
        while not is_gone(pid, pid_file) and time.monotonic() < deadline:
            time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def is_gone(pid: int, pid_file: Path) -> bool:
    """Reaped, when it is a child of this process; a leader is a zombie before its last thread has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # an earlier run's daemon
        return not is_alive(pid_file)
