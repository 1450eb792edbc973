"""What a benchmark says: measurements in, one comparable line out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal


class CannotRun(Exception):
    """A benchmark that cannot be measured here; the message says why in one sentence."""


class WentWrong(Exception):
    """A benchmark whose programs did not do what is measured; the message says what in one sentence."""


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of which less is better. ``against`` names the other side: a program, or a bound that we set."""

    ours: tuple[float, ...]
    peer: tuple[float, ...]
    unit: str
    goal: float
    against: str
    faults: tuple[str, ...] = ()  # why the goal is not met whatever the ratio says
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One line: ``ratio`` is how many times better ours is, ``noise`` is (max - min) / median of ours."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    goal: float
    met: bool
    runs: int
    noise: float
    load: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A name, what it measures in one sentence, and how: ``measure(short, say)``."""

    name: str
    what: str
    measure: Callable[[bool, Say], Measured] = field(repr=False)


def build_result(name: str, measured: Measured, load: float) -> Result:
    ours, peer = median(measured.ours), median(measured.peer)
    ratio = peer / ours
    return Result(
        name=name,
        ours=round(ours, 3),
        peer=round(peer, 3),
        unit=measured.unit,
        ratio=round(ratio, 2),
        goal=measured.goal,
        met=ratio >= measured.goal and not measured.faults,
        runs=len(measured.ours),
        noise=round((max(measured.ours) - min(measured.ours)) / ours, 2),
        load=round(load, 2),
    )


Verdict = Literal["met", "not met", "cannot run", "went wrong"]
EXIT_CODES: dict[Verdict, int] = {"met": 0, "cannot run": 69, "not met": 1, "went wrong": 70}


def choose_exit_code(verdicts: tuple[Verdict, ...]) -> int:
    """The worst of them: what was measured and failed weighs more than what could not be measured."""
    return next((EXIT_CODES[word] for word in ("went wrong", "not met", "cannot run") if word in verdicts), 0)
