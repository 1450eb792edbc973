"""The effective batch is the user's at every world size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfdetr_contract.batch import BatchError, BatchPlan, solve_batch


@pytest.mark.parametrize(
    ("ranks", "per_device", "accumulation"),
    [
        pytest.param(1, 4, 4, id="1 GPU"),
        pytest.param(2, 4, 2, id="2 GPUs"),
        pytest.param(4, 4, 1, id="4 GPUs"),
        pytest.param(8, 2, 1, id="8 GPUs"),
    ],
)
def test_the_guides_table_for_sixteen(ranks: int, per_device: int, accumulation: int) -> None:
    """E = 16 is split as the guide splits it."""
    plan = solve_batch(16, ranks)

    assert BatchPlan(per_device=per_device, accumulation=accumulation, ranks=ranks) == plan


@given(st.integers(1, 256), st.integers(1, 64), st.integers(1, 32))
def test_a_plan_keeps_the_effective_batch_or_is_refused(effective: int, ranks: int, bound: int) -> None:
    """Every plan multiplies to the effective batch, within the bound; what cannot be split is refused."""
    if effective % ranks:
        with pytest.raises(BatchError):
            solve_batch(effective, ranks, bound)
        return

    plan = solve_batch(effective, ranks, bound)

    assert (effective, True) == (plan.effective, plan.per_device <= bound)


@given(st.integers(1, 256), st.integers(1, 32))
def test_the_largest_batch_under_the_bound_comes_first(share: int, bound: int) -> None:
    """No larger divisor of a rank's share fits under the bound."""
    plan = solve_batch(share, 1, bound)

    assert [] == [size for size in range(plan.per_device + 1, bound + 1) if share % size == 0]


def test_ranks_that_do_not_divide_are_refused_with_the_nearest_legal_numbers() -> None:
    """The sentence names the batch, the ranks, and what would do."""
    with pytest.raises(BatchError) as caught:
        solve_batch(16, 3)

    assert (
        "effectiveBatchSize 16 cannot be split over 3 ranks (nodes x processes); nearest: 15 or 18, or 1, 2, 4 ranks"
        == str(caught.value)
    )


def test_nearest_never_says_zero() -> None:
    """A batch below the ranks has only one legal neighbour."""
    with pytest.raises(BatchError, match="nearest: 4, or"):
        solve_batch(3, 4)
