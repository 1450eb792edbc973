"""What the ranks of one node have last said, and how long ago. Time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rfdetr_trainer.launch.watchdog import ONCE_A_ROUND
from rfdetr_trainer.launch.wire import RankBeat
from rfdetr_trainer.messages import Phase, Pulse, WorkerMessage


@dataclass(slots=True)
class _Rank:
    phase: Phase
    moved: float  # when it last made progress
    step: int = 0
    pulse: Pulse | None = None


@dataclass(slots=True)
class Ranks:
    """The living ranks of a node. A message is progress when it brings a phase, a step or a count that is new."""

    generation: int = 0
    _alive: dict[int, _Rank] = field(default_factory=dict)
    _longest: dict[tuple[int, Phase], float] = field(default_factory=dict)

    def begin(self, generation: int, ranks: Sequence[int], step: int, now: float) -> None:
        """A round begins. Only what happens once in a round is compared with the rounds before it."""
        self.generation = generation
        self._alive = {rank: _Rank("init", now, step) for rank in ranks}
        self._longest = {key: longest for key, longest in self._longest.items() if key[1] in ONCE_A_ROUND}

    def hear(self, message: WorkerMessage, now: float) -> None:
        """A rank says something."""
        rank = self._alive.get(message.rank)
        if rank is None or message.generation != self.generation:
            return
        phase = message.phase or rank.phase
        told = message.step if message.step is not None else message.progress.step if message.progress else 0
        step = max(rank.step, told)
        pulse = message.pulse or rank.pulse
        if (phase, step, pulse) == (rank.phase, rank.step, rank.pulse):
            return
        key = (message.rank, rank.phase)
        self._longest[key] = max(self._longest.get(key, 0.0), now - rank.moved)
        self._alive[message.rank] = _Rank(phase, now, step, pulse)

    def end(self, rank: int) -> None:
        """A rank is dead."""
        self._alive.pop(rank, None)

    def build_beats(self, now: float) -> tuple[RankBeat, ...]:
        """How every living rank stands."""
        return tuple(
            RankBeat(
                rank=number,
                phase=rank.phase,
                step=rank.step,
                silent=now - rank.moved,
                longest=self._longest.get((number, rank.phase)),
                own_seconds=rank.pulse.own_seconds if rank.pulse else None,
            )
            for number, rank in self._alive.items()
        )
