"""Running a program to its end: its output, or one error that carries what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .paths import HarnessError


class CommandError(HarnessError):
    """A program ended with a code other than 0."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{' '.join(argv[:12])} ended with {code}: {stderr.strip()[-4000:]}")
        self.code = code
        self.stderr = stderr


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    seconds: float = 120,
) -> str:
    """The program's standard output."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env=env,
            cwd=cwd,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise HarnessError(f"{' '.join(words[:12])} did not end within {seconds:.0f} s") from late
    except FileNotFoundError as absent:
        raise HarnessError(f"{words[0]} is not installed; run tests/cluster/harness/packages.sh as root") from absent
    if done.returncode != 0:
        raise CommandError(words, done.returncode, done.stderr or done.stdout)
    return done.stdout
