"""The effective-batch solver: perDevice x accumulation x ranks = the batch that the user asked for, at every world size."""

from __future__ import annotations

from pydantic import Field

from rfdetr_contract._base import Frozen

DEFAULT_PER_DEVICE = 4  # the guide's table: E = 16 on 1 GPU is 4 x 4


class BatchError(ValueError):
    """No batch plan keeps the effective batch that was asked for."""


class BatchPlan(Frozen):
    """How one optimizer step is made of samples."""

    per_device: int = Field(ge=1, description="Samples a rank takes in one forward pass.")
    accumulation: int = Field(ge=1, description="Forward passes a rank adds up before an optimizer step.")
    ranks: int = Field(ge=1, description="Processes of the world.")

    @property
    def effective(self) -> int:
        """Samples of one optimizer step over all ranks."""
        return self.per_device * self.accumulation * self.ranks


def nearest_effective(effective: int, ranks: int) -> tuple[int, ...]:
    """The legal effective batches around an illegal one, never zero."""
    below = effective // ranks * ranks
    return tuple(value for value in (below, below + ranks) if value > 0)


def solve_batch(effective: int, ranks: int, bound: int = DEFAULT_PER_DEVICE) -> BatchPlan:
    """The plan with the largest per-device batch that is not above ``bound``.

    Raises:
        BatchError: ``ranks`` does not divide ``effective``; the message names the nearest legal numbers.

    """
    if effective < 1 or ranks < 1 or bound < 1:
        raise BatchError(f"effective batch {effective}, ranks {ranks} and bound {bound} must all be 1 or more")
    if effective % ranks:
        nearest = " or ".join(str(value) for value in nearest_effective(effective, ranks))
        divisors = ", ".join(str(n) for n in range(1, effective + 1) if effective % n == 0 and n <= 2 * ranks)
        raise BatchError(
            f"effectiveBatchSize {effective} cannot be split over {ranks} ranks (nodes x processes); "
            f"nearest: {nearest}, or {divisors} ranks"
        )
    share = effective // ranks
    per_device = max(size for size in range(1, min(bound, share) + 1) if share % size == 0)
    return BatchPlan(per_device=per_device, accumulation=share // per_device, ranks=ranks)
