"""Two trainings of which one runs at a time, by turns of a few steps: what disturbs the machine disturbs both alike."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from benchmarks.processes import Program
from benchmarks.recovery import Watch
from trainer_marks import Mark

TURN_SECONDS = 120.0


def list_spans(marks: Sequence[Mark], pid: int, since: float) -> list[float]:
    """Seconds from each step's beginning to the next one's, of those that began after ``since``; no step that was validated after."""
    own = [mark for mark in marks if mark.pid == pid and mark.time > since and mark.what in {"begin", "validate"}]
    return [later.time - sooner.time for sooner, later in pairwise(own) if sooner.what == later.what == "begin"]


@dataclass(frozen=True, slots=True)
class Player:
    """A training whose ranks stand still unless it is its turn. Its launcher runs on: it must not take them for dead."""

    name: str
    program: Program
    watch: Watch
    ranks: int

    def play(self, steps: int) -> float:
        """One turn: seconds that a step took, the median of the slower rank's."""
        since = time.time()
        self._signal(signal.SIGCONT)
        spans = self.program.wait_for(
            f"{steps} steps", lambda: self._read_spans(since, steps), seconds=TURN_SECONDS, pause=0.01
        )
        self._signal(signal.SIGSTOP)
        return max(median(each) for each in spans)

    def _find_ranks(self) -> dict[int, int]:
        return {mark.rank: mark.pid for mark in self.watch.read()}

    def _read_spans(self, since: float, steps: int) -> list[list[float]] | None:
        marks = self.watch.read()
        spans = [list_spans(marks, pid, since) for pid in self._find_ranks().values()]
        return spans if len(spans) == self.ranks and min(map(len, spans)) >= steps else None

    def _signal(self, number: int) -> None:
        for pid in self._find_ranks().values():
            os.kill(pid, number)


def take_turns(players: tuple[Player, Player], turns: int, steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What each turn's steps took; who begins changes from turn to turn, so that a drift favours neither."""
    times: dict[str, list[float]] = {player.name: [] for player in players}
    for turn in range(turns):
        for player in players if turn % 2 == 0 else reversed(players):
            times[player.name].append(player.play(steps))
    first, second = (tuple(times[player.name]) for player in players)
    return first, second


def keep_undisturbed(times: Sequence[float]) -> tuple[float, ...]:
    """The shorter half of what was measured, shortest first: what else a machine does only ever adds."""
    return tuple(sorted(times)[: (len(times) + 1) // 2])
