"""Counts that outlive the processes that counted: the totals of finished workers and those of the living ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest

from rfdetr_trainer.messages import Pulse


@dataclass(frozen=True, slots=True)
class Counts:
    """What ``/metrics`` tells beside the report, at one moment."""

    pulse: Pulse = field(default_factory=Pulse)
    restarts: dict[str, int] = field(default_factory=dict)  # by what ended the round before
    gpus: dict[str, tuple[int, int]] = field(default_factory=dict)  # bytes allocated and their peak, by device
    class_ap: dict[str, float] = field(default_factory=dict)


def add_pulses(one: Pulse, other: Pulse) -> Pulse:
    """The totals of two processes; what is no total is the latter's."""
    buckets = zip_longest(one.step_buckets, other.step_buckets, fillvalue=0)
    return other.model_copy(
        update={
            "steps": one.steps + other.steps,
            "samples": one.samples + other.samples,
            "step_buckets": tuple(first + second for first, second in buckets),
            "step_seconds": one.step_seconds + other.step_seconds,
            "data_wait_seconds": one.data_wait_seconds + other.data_wait_seconds,
            "eval_seconds": one.eval_seconds + other.eval_seconds,
            "checkpoint_seconds": one.checkpoint_seconds + other.checkpoint_seconds,
            "checkpoint_failures": dict(Counter(one.checkpoint_failures) + Counter(other.checkpoint_failures)),
        }
    )


@dataclass(slots=True)
class Counters:
    """The pulse of every rank of this node. A lost message loses nothing: the next one carries the totals again."""

    _finished: dict[int, Pulse] = field(default_factory=dict)
    _living: dict[int, Pulse] = field(default_factory=dict)

    def begin(self) -> None:
        """New processes: what the old ones had counted is kept."""
        self._finished = {rank: self.read(rank) for rank in self._finished.keys() | self._living.keys()}
        self._living = {}

    def hear(self, rank: int, pulse: Pulse) -> None:
        """A rank's newest totals."""
        self._living[rank] = pulse

    def read(self, rank: int) -> Pulse:
        """All that was counted for this rank in this pod."""
        finished, living = self._finished.get(rank), self._living.get(rank, Pulse())
        return living if finished is None else add_pulses(finished, living)

    def read_gpus(self, first_rank: int) -> dict[str, tuple[int, int]]:
        """GPU memory by device: the living ranks' own."""
        return {
            str(rank - first_rank): (pulse.gpu_allocated_bytes, pulse.gpu_peak_bytes or pulse.gpu_allocated_bytes)
            for rank, pulse in sorted(self._living.items())
            if pulse.gpu_allocated_bytes is not None
        }
