"""What a benchmark says: measurements in, one comparable line out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
    """Measurements of which less is better. ``against`` names the other side: a program, or a bound that we set.

    A benchmark that measures several things says of each but the first what it is, in ``label``.
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]
    unit: str
    goal: float
    against: str
    faults: tuple[str, ...] = ()  # why the goal is not met whatever the ratio says
    notes: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One line: ``ratio`` is how many times better ours is (None: ours is nothing and the other is not), ``noise`` is
    (max - min) / median of ours.
    """

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float | None
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
    measure: Callable[[bool, Say], Measured | Sequence[Measured]] = field(repr=False)
    short_limit: float = 300.0  # seconds after which a short run has gone wrong


def divide(peer: float, ours: float) -> float | None:
    """How many times better ours is."""
    if ours == 0:
        return 1.0 if peer == 0 else None
    return peer / ours


def build_result(name: str, measured: Measured, load: float) -> Result:
    ours, peer = median(measured.ours), median(measured.peer)
    ratio = divide(peer, ours)
    return Result(
        name=f"{name} {measured.label}".strip(),
        ours=round(ours, 3),
        peer=round(peer, 3),
        unit=measured.unit,
        ratio=None if ratio is None else round(ratio, 2),
        goal=measured.goal,
        met=(ratio is None or ratio >= measured.goal) and not measured.faults,
        runs=len(measured.ours),
        noise=round((max(measured.ours) - min(measured.ours)) / ours, 2) if ours else 0.0,
        load=round(load, 2),
    )


Verdict = Literal["met", "not met", "cannot run", "went wrong"]
EXIT_CODES: dict[Verdict, int] = {"met": 0, "cannot run": 69, "not met": 1, "went wrong": 70}


def choose_exit_code(verdicts: tuple[Verdict, ...]) -> int:
    """The worst of them: what was measured and failed weighs more than what could not be measured."""
    return next((EXIT_CODES[word] for word in ("went wrong", "not met", "cannot run") if word in verdicts), 0)


@dataclass(frozen=True, slots=True)
class Line:
    """A result with what stands beside it."""

    result: Result
    against: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """All that one run of a benchmark left; ``message`` says why there are no lines."""

    name: str
    verdict: Verdict
    time: str  # when it ended, in UTC
    spread: float  # of a fixed piece of work, measured just before: the machine's own noise
    message: str = ""
    lines: tuple[Line, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def parse_record(text: str) -> Record:
    """The record that ``to_json`` wrote."""
    fields = json.loads(text)
    lines = tuple(
        Line(Result(**line["result"]), line["against"], tuple(line["faults"]), tuple(line["notes"]))
        for line in fields["lines"]
    )
    return Record(**{**fields, "lines": lines})
