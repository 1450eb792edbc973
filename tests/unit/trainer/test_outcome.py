"""What an exception means."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from datetime import timedelta

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch does not say that it exports it

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


def look_for_nobody(port: int) -> None:
    """A rank whose rank 0 does not listen."""
    TCPStore("127.0.0.1", port, 2, is_master=False, timeout=timedelta(milliseconds=50))


def wait_for_nobody(port: int) -> None:
    """A rank 0 that no other rank comes to."""
    TCPStore("127.0.0.1", port, 2, is_master=True, timeout=timedelta(milliseconds=50))


def wait_for_a_key(port: int) -> None:
    """A rank whose peer has come and then says nothing."""
    store = TCPStore("127.0.0.1", port, 2, is_master=True, wait_for_workers=False)
    store.wait(["from rank 1"], timedelta(milliseconds=50))


@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (look_for_nobody, FailureReason.PEER_LOST),
        (wait_for_nobody, FailureReason.PEER_LOST),
        (wait_for_a_key, FailureReason.NCCL_TIMEOUT),
    ],
)
def test_a_store_that_waits_in_vain_has_its_reason(wait: Callable[[int], None], reason: FailureReason) -> None:
    """Torch's own words, from torch itself: nobody came, or somebody who came says nothing."""
    with socket.create_server(("", 0)) as probe:
        port = int(probe.getsockname()[1])
    with pytest.raises(RuntimeError) as raised:
        wait(port)

    assert reason == classify_error(raised.value).reason


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
    refused = "left at step 7, not saved: the volume refused"
    assert End(Outcome.PREEMPTED, message=refused, saved=False) == classify_error(Preempted(7, saved=False))
