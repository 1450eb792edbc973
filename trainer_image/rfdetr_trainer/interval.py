"""When a checkpoint is due: as the user says, or as often as the losses that were seen are worth (Young and Daly).

A save every W seconds costs C/W of the time, and an interruption every M + R seconds costs W/2 of work each time: the
sum is least at W = sqrt(2 (M + R) C). C is the measured stall of a save; M + R is the run's age, divided by its interruptions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rfdetr_contract.run import CheckpointRun
from rfdetr_trainer.generations import Claim

FLOOR: Final = 15.0  # seconds between two saves, at least
CEILING: Final = 1800.0  # and at most
DUTY: Final = 10.0  # a save that takes n seconds in the background is followed by none for at least so many times n
PRIOR: Final = 8 * 3600.0  # before any interruption was seen: one in so many seconds
NEWS: Final = 1.25  # a change by this factor is told


@dataclass(frozen=True, slots=True)
class Losses:
    """What the claimed generations tell: how long the run is going on, and how often it was interrupted."""

    seconds: float = 0.0
    interruptions: int = 0

    @property
    def mean(self) -> float:
        """Seconds between two interruptions; until the first is seen it is taken to come after ``PRIOR``."""
        return (self.seconds + PRIOR) / (self.interruptions + 1)

    def age(self, seconds: float) -> Losses:
        """The same after so many more seconds, without an interruption."""
        return replace(self, seconds=self.seconds + seconds)


@dataclass(frozen=True, slots=True)
class Cost:
    """The newest save's: seconds that the training stood still, and seconds until all was durable."""

    stall: float
    seconds: float


def count_losses(claims: Mapping[int, Claim], now: float) -> Losses:
    """Every claim but the first is an interruption; a clock that was set back counts as no time."""
    times = [claim.time for claim in claims.values()]
    return Losses(max(now - min(times), 0.0), len(times) - 1) if times else Losses()


def choose_interval(cost: Cost, losses: Losses) -> float:
    """Seconds from one save to the next that lose least."""
    best = math.sqrt(2 * losses.mean * cost.stall)
    return min(max(best, FLOOR, cost.seconds * DUTY), CEILING)


def describe(seconds: float, cost: Cost, losses: Losses) -> str:
    """One line for the log."""
    count = f"{losses.interruptions} interruption{'' if losses.interruptions == 1 else 's'}"
    return (
        f"saving every {describe_span(seconds)}: a save stalls {cost.stall:.2f} s and is durable after "
        f"{cost.seconds:.1f} s, {count} in {describe_span(losses.seconds)}"
    )


def describe_span(seconds: float) -> str:
    """A span as a person would say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Interval:
    """Asked at every optimizer step; rank 0's answer is everybody's.

    ``losses`` are those at the round's start; each quiet second of the round makes an interruption rarer.
    ``measure`` is None until a first save was durable: that one is made soon, so that there is something to measure.
    Where time decides, no save begins while another is on its way.
    """

    def __init__(
        self,
        plan: CheckpointRun,
        losses: Losses,
        measure: Callable[[], Cost | None],
        say: Callable[[str], None],
        *,
        is_busy: Callable[[], bool] = bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._losses = losses
        self._measure = measure
        self._is_busy = is_busy
        self._say = say
        self._clock = clock
        self._began = self._saved_at = clock()
        self._told: float | None = None

    def is_due(self, step: int) -> bool:
        """Whether this optimizer step should end with a save."""
        every = self._plan.every_steps
        if every is not None and step > 0 and step % every == 0:
            return True
        seconds = self._choose_seconds()
        return seconds is not None and self._clock() - self._saved_at >= seconds and not self._is_busy()

    def note_saved(self) -> None:
        """A save was begun, for whatever reason."""
        self._saved_at = self._clock()

    def _choose_seconds(self) -> float | None:
        if self._plan.every_minutes is not None:
            return self._plan.every_minutes * 60
        if self._plan.every_steps is not None:
            return None
        cost = self._measure()
        if cost is None:
            return FLOOR
        losses = self._losses.age(self._clock() - self._began)
        seconds = choose_interval(cost, losses)
        if self._told is None or not 1 / NEWS < seconds / self._told < NEWS:
            self._told = seconds
            self._say(describe(seconds, cost, losses))
        return seconds
