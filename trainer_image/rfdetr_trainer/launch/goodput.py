"""Where a pod's time goes: one category at every moment, so that they add up to its life. Time is an argument.

What a worker does is only believed once it says more (``confirm``): until then the time could still turn out to be a hang,
and a counter that was served must not fall.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rfdetr_trainer.messages import Phase

Category = Literal["init", "rendezvous", "train", "eval", "checkpoint", "redone", "hang", "judge", "idle"]
OF_PHASE: Final[dict[Phase, Category]] = {
    "init": "init",
    "first_step": "train",
    "train": "train",
    "eval": "eval",
    "checkpoint": "checkpoint",
    "export": "judge",
    "judge": "judge",
    "end": "idle",
}


@dataclass(slots=True)
class Ledger:
    """Seconds by category since ``since``. A worker's time is held back until it is confirmed."""

    since: float
    category: Category = "init"
    held: bool = False
    seconds: dict[Category, float] = field(default_factory=dict)

    def enter(self, category: Category, now: float, *, held: bool = False) -> None:
        """Something else begins; what was going on is believed."""
        self.confirm(now)
        self.category, self.held = category, held

    def confirm(self, now: float, redone: float = 0.0) -> None:
        """What is going on has gone on until now; the share ``redone`` of it was work done before."""
        spent = max(now - self.since, 0.0)
        self.since = max(now, self.since)
        self._add("redone", spent * redone)
        self._add(self.category, spent * (1 - redone))

    def hang(self, now: float) -> None:
        """What was held back was lost, and so is all until something begins again."""
        if self.held:
            self._add("hang", max(now - self.since, 0.0))
            self.since = max(now, self.since)
        self.enter("hang", now)

    def read(self, now: float, *, whole: bool = False) -> dict[str, float]:
        """The seconds so far; ``whole``: what is held back included."""
        seconds = dict(self.seconds)
        if whole or not self.held:
            seconds[self.category] = seconds.get(self.category, 0.0) + max(now - self.since, 0.0)
        return {category: round(spent, 3) for category, spent in seconds.items()}

    def _add(self, category: Category, spent: float) -> None:
        if spent > 0:
            self.seconds[category] = self.seconds.get(category, 0.0) + spent


def share_redone(before: int, after: int, done_before: int) -> float:
    """The share of the way from one step to another that an earlier round had gone; 0 to 1."""
    if before >= done_before:
        return 0.0
    return 1.0 if after <= done_before else (done_before - before) / (after - before)


def read_age(stat: Path = Path("/proc/self/stat")) -> float:
    """Seconds since this process was started; 0 where the system does not tell."""
    try:
        ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
