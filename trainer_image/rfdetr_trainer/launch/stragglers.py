"""Which rank is slower than the others, by its own work alone: it is told of, never killed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rfdetr_contract.report import Straggler
from rfdetr_trainer.launch.wire import RankBeat

PATIENCE_SECONDS = 30.0  # a slow moment is no news


@dataclass(frozen=True, slots=True)
class Slowness:
    """Since when a rank has been slow without a pause, and whether that was said."""

    rank: int | None = None
    since: float = 0.0
    told: bool = False


def find_straggler(beats: Sequence[RankBeat]) -> Straggler | None:
    """The rank whose own work of a step takes longest, against the median; None: fewer than two ranks are known.

    The lower median, so that the slower one of two is measured against the faster one.
    """
    known = [(beat.own_seconds, beat.rank) for beat in beats if beat.own_seconds is not None]
    if len(known) < 2:
        return None
    median = statistics.median_low([seconds for seconds, _ in known])
    slowest, rank = max(known)
    return Straggler(rank=rank, ratio=round(slowest / median, 2)) if median > 0 else None


def advance(slow: Slowness, straggler: Straggler | None, limit: float, now: float) -> tuple[Slowness, str | None]:
    """The slowness from now on, and the line to be said about it, once for each rank that stays slow."""
    if straggler is None or straggler.ratio <= limit:
        return Slowness(), None
    if slow.rank != straggler.rank:
        return Slowness(straggler.rank, now), None
    if slow.told or now - slow.since < PATIENCE_SECONDS:
        return slow, None
    words = f"rank {straggler.rank} is slow: its own work of a step takes {straggler.ratio:.1f} times the median rank's"
    return Slowness(straggler.rank, slow.since, told=True), words
