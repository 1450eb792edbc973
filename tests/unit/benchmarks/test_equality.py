"""What two trainings left, compared: values bit by bit, samples by epoch, and the cost of what stands between."""

from __future__ import annotations

from collections import Counter

import torch

from benchmarks.equality import count_calls, count_hooks, list_differences
from benchmarks.resume_equality import count_wrong
from benchmarks.short_training import Seen

OBSERVED = {
    "rank": 0,
    "steps_ns": [100, 100],
    "hooks_ns": {
        "[Callback]Boundary.on_train_batch_end": 50,
        "[Callback]StepSeeds.on_train_batch_start": 10,
        "[Callback]RFDETREMACallback.on_train_batch_end": 1000,
        "[Strategy]DDPStrategy.on_train_batch_start": 1000,
    },
    "inside_ns": 40,
    "calls": {"allreduce": 3, "broadcast": 1},
    "pairs": 2,
}


def test_values_are_compared_to_the_bit() -> None:
    """Kind and content; what one side lacks differs."""
    left = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0]), "c": 1, "d": 2}
    right = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0 + 1e-7]), "c": 1}

    assert ["b", "d"] == list_differences(left, right)


def test_a_sample_that_is_seen_twice_and_one_that_is_never_seen_are_two_wrongs() -> None:
    """An epoch's samples are its own."""
    whole = Counter({(0, 1): 1, (0, 2): 1, (1, 1): 1})

    assert (0, 2) == (count_wrong(whole, whole), count_wrong(whole, Counter({(0, 1): 2, (1, 1): 1})))


def test_samples_are_counted_over_ranks_and_processes() -> None:
    """Two processes of one rank, and another rank."""
    files = tuple(
        {"rank": rank, "samples": samples} for rank, samples in ((0, [[0, [1, 2]]]), (1, [[0, [3]]]), (0, [[0, [1]]]))
    )

    assert Counter({(0, 1): 2, (0, 2): 1, (0, 3): 1}) == Seen(files).samples


def test_our_hooks_are_counted_without_theirs_and_without_the_wait_for_others() -> None:
    """Twenty nanoseconds in two steps."""
    assert (10.0, 2.0) == (count_hooks(OBSERVED), count_calls([OBSERVED]))
