"""Faults at random moments, the same for every side, and what the time between them was good for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from trainer_marks import Mark

Kind = Literal["kill worker", "kill node", "preempt node"]
KINDS: tuple[Kind, ...] = ("kill worker", "kill node", "preempt node")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to which node rank, in seconds from the start of the trace."""

    at: float
    kind: Kind
    rank: int


def build_trace(seed: int, mean: float, seconds: float, ranks: int = 2) -> tuple[Fault, ...]:
    """Poisson arrivals; kinds in shuffled turns, so that a short trace has each of them."""
    rng, faults, at = random.Random(seed), list[Fault](), 0.0
    turn: list[Kind] = []
    while (at := at + rng.expovariate(1 / mean)) < seconds:
        turn = turn or rng.sample(KINDS, len(KINDS))
        faults.append(Fault(round(at, 1), turn.pop(), rng.randrange(ranks)))
    return tuple(faults)


@dataclass(frozen=True, slots=True)
class Account:
    """Seconds of a window by what they were good for; ``useful`` are steps done for the first time, and validations."""

    window: float
    useful: float
    redone: float

    @property
    def lost_share(self) -> float:
        """Percent of the window that was good for nothing."""
        return 100 * (1 - self.useful / self.window)


def build_account(marks: Sequence[Mark], start: float, end: float) -> Account:
    """Rank 0's marks of the window, valued: a step is worth the median step and the median gap before it (its batch). What
    goes beyond is a save, a restart or a fault.
    """
    own = [mark for mark in marks if mark.rank == 0 and start <= mark.time <= end]
    steps = find_steps(own)
    gaps = [gap for _, _, gap in steps if gap is not None]
    worth = median([length for _, length, _ in steps] or [0.0]) + median(gaps or [0.0])
    useful = redone = 0.0
    furthest = max((mark.step for mark in marks if mark.what == "done" and mark.time < start), default=0)
    for number, _, _ in steps:
        if number > furthest:
            useful, furthest = useful + worth, number
        else:
            redone += worth
    return Account(end - start, useful + sum_validations(own), redone)


def find_steps(own: Sequence[Mark]) -> list[tuple[int, float, float | None]]:
    """Number, seconds, and the gap since the step before it in the same process, of each finished step."""
    found: list[tuple[int, float, float | None]] = []
    begun: Mark | None = None
    ended: Mark | None = None
    for mark in own:
        if mark.what == "begin":
            begun = mark
        elif mark.what == "done" and begun is not None and begun.pid == mark.pid:
            gap = begun.time - ended.time if ended is not None and ended.pid == mark.pid else None
            found.append((mark.step, mark.time - begun.time, gap))
            begun, ended = None, mark
    return found


def sum_validations(own: Sequence[Mark]) -> float:
    """Seconds of validations that came to their end, each step's once."""
    seconds: dict[int, float] = {}
    begun: Mark | None = None
    for mark in own:
        if mark.what == "validate":
            begun = mark
        elif mark.what == "validated" and begun is not None and begun.pid == mark.pid:
            seconds.setdefault(mark.step, mark.time - begun.time)
    return sum(seconds.values())


def simulate(costs: Sequence[float], mean: float, seconds: float, seed: int) -> float:
    """Percent of the time that is good for something when a fault with one of these costs comes every ``mean`` seconds."""
    rng, now, lost = random.Random(seed), 0.0, 0.0
    while now < seconds:
        now += rng.expovariate(1 / mean)
        cost = rng.choice(costs)
        lost += cost
        now += cost
    return 100 * (1 - lost / now)
