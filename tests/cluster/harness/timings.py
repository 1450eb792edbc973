"""Times that tests measured, for the closing summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Timings:
    """Rows of (test, what was timed, seconds), in the order of measuring."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def add(self, test: str, what: str, seconds: float) -> None:
        self.rows.append((test, what, seconds))

    def format(self) -> list[str]:
        width = max((len(what) for _, what, _ in self.rows), default=0)
        return [f"{seconds:8.2f} s  {what:<{width}}  {test}" for test, what, seconds in self.rows]


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """A test's own view of the timings."""

    timings: Timings
    test: str

    def add(self, what: str, seconds: float) -> None:
        self.timings.add(self.test, what, seconds)

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.add(what, time.monotonic() - started)
