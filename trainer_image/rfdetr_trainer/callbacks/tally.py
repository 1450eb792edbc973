"""What one rank counts: optimizer steps by their length, and where its seconds went. Plain sums, no clock."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from rfdetr_contract.metrics import STEP_BUCKETS
from rfdetr_contract.report import FailureReason
from rfdetr_trainer.messages import Pulse

SMOOTHING = 0.1  # weight of the newest step in the moving average: it forgets in about ten steps


@dataclass(slots=True)
class Tally:
    """Totals since this process began."""

    steps: int = 0
    samples: int = 0
    step_seconds: float = 0.0
    data_wait_seconds: float = 0.0
    eval_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(STEP_BUCKETS) + 1))
    failures: dict[FailureReason, int] = field(default_factory=dict)
    own: float = 0.0  # data wait and forward pass of the step that is going on
    own_average: float | None = None

    def add_wait(self, seconds: float) -> None:
        """The next batch was waited for."""
        self.data_wait_seconds += seconds
        self.own += seconds

    def add_step(self, seconds: float | None) -> None:
        """An optimizer step is done; ``None``: nobody saw it begin."""
        self.steps += 1
        own, self.own = self.own, 0.0
        if seconds is None:
            return
        self.step_seconds += seconds
        self.buckets[bisect_left(STEP_BUCKETS, seconds)] += 1
        before = self.own_average
        self.own_average = own if before is None else before + SMOOTHING * (own - before)

    def add_failure(self, reason: FailureReason) -> None:
        """A checkpoint was not saved."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def build(self, gpu: tuple[int, int] | None = None) -> Pulse:
        """The totals as they are sent; ``gpu``: bytes allocated now and at most."""
        return Pulse(
            steps=self.steps,
            samples=self.samples,
            step_buckets=tuple(self.buckets),
            step_seconds=round(self.step_seconds, 4),
            data_wait_seconds=round(self.data_wait_seconds, 4),
            eval_seconds=round(self.eval_seconds, 4),
            checkpoint_seconds=round(self.checkpoint_seconds, 4),
            checkpoint_failures=dict(self.failures),
            own_seconds=None if self.own_average is None else round(self.own_average, 5),
            gpu_allocated_bytes=gpu[0] if gpu else None,
            gpu_peak_bytes=gpu[1] if gpu else None,
        )
