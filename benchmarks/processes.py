"""Processes that a benchmark starts, finds, kills and ends, each by its id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from benchmarks.result import WentWrong

T = TypeVar("T")


def read_parents() -> dict[int, int]:
    """Process id to parent's id, for every process of this machine."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return parents


def choose_tree(root: int, parents: Mapping[int, int]) -> tuple[int, ...]:
    """``root`` and all that descend from it, parents first."""
    tree = [root]
    for pid in tree:
        tree += sorted(child for child, parent in parents.items() if parent == pid)
    return tuple(tree)


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read_last_lines(log: Path, count: int = 5) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else "no output"


class Program:
    """A program with its output in a file, the leader of a session of its own."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.log = log
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def read_tree(self) -> tuple[int, ...]:
        return choose_tree(self.pid, read_parents())

    def kill_tree(self) -> None:
        """SIGKILL for the program and its whole descent at once, and the program reaped; an id that is free is left alone."""
        if self.exit_code is None:
            kill(self.read_tree())
            self._process.wait()

    def wait_end(self, seconds: float) -> int:
        """The exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise WentWrong(f"{self.log.name}: not over after {seconds:.0f} s: {read_last_lines(self.log)}") from None

    def wait_for(self, what: str, read: Callable[[], T | None], *, seconds: float, pause: float = 0.02) -> T:
        """The first answer that is not None, while the program lives."""
        deadline = time.monotonic() + seconds
        while (answer := read()) is None:
            if self.exit_code is not None:
                raise WentWrong(
                    f"{self.log.name}: ended with code {self.exit_code} before {what}: {read_last_lines(self.log)}"
                )
            if time.monotonic() > deadline:
                raise WentWrong(f"{self.log.name}: no sign of {what} in {seconds:.0f} s: {read_last_lines(self.log)}")
            time.sleep(pause)
        return answer


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[Program]:
    """The program for the block, and nothing of it after the block."""
    program = Program(command, env, log)
    try:
        yield program
    finally:
        program.kill_tree()
