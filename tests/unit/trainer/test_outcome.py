"""What an exception means."""

from __future__ import annotations

import errno

import pytest
import torch

from rfdetr_contract.report import FailureReason, Outcome
from rfdetr_trainer.errors import DataError
from rfdetr_trainer.outcome import End, Preempted, classify_error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), FailureReason.CUDA_OOM),
        (MemoryError(), FailureReason.HOST_OOM),
        (RuntimeError("DataLoader worker is killed by signal: Bus error."), FailureReason.SHARED_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), FailureReason.STORAGE_FULL),
        (OSError(errno.EROFS, "Read-only file system"), FailureReason.STORAGE_ERROR),
        (RuntimeError("[gloo] Connection closed by peer [10.0.0.7]:4711"), FailureReason.PEER_LOST),
        (RuntimeError("Watchdog caught collective operation timeout: 600000 ms"), FailureReason.NCCL_TIMEOUT),
        (ValueError("You set devices=1, which does not match the world size (2)"), FailureReason.WORLD_SIZE_MISMATCH),
        (KeyError("boxes"), FailureReason.USER_CODE),
    ],
)
def test_each_error_has_its_reason(error: Exception, reason: FailureReason) -> None:
    """The taxonomy of the contract, by type, number or words."""
    end = classify_error(error)

    assert (Outcome.FAILED, reason) == (end.outcome, end.reason)


def test_an_error_of_ours_is_told_as_it_is() -> None:
    """One sentence, no stack."""
    assert End(Outcome.FAILED, FailureReason.DATA_ERROR, "no images") == classify_error(DataError("no images"))


def test_a_preemption_is_no_failure() -> None:
    """It says at which step, and whether the state is durable."""
    assert (Outcome.PREEMPTED, None, "left at step 7, saved") == (
        (end := classify_error(Preempted(7))).outcome,
        end.reason,
        end.message,
    )
    assert "not saved" in classify_error(Preempted(7, saved=False)).message
