"""What an exception means: outcome, reason, and one sentence."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass

from rfdetr_contract.report import FailureReason, Outcome
from rfdetr_trainer.errors import RunError


class Preempted(Exception):
    """All ranks agreed to leave; ``saved`` tells whether the state is durable."""

    def __init__(self, step: int, *, saved: bool = True) -> None:
        super().__init__(f"preempted at step {step}")
        self.step = step
        self.saved = saved


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ends. ``saved``: of one that was told to leave, whether the state is durable."""

    outcome: Outcome
    reason: FailureReason | None = None
    message: str = ""
    last_lines: str = ""
    saved: bool | None = None


# What a message of torch, gloo or NCCL means; the first that is found wins.
SIGNS: tuple[tuple[str, FailureReason], ...] = (
    ("CUDA out of memory", FailureReason.CUDA_OOM),
    ("bus error", FailureReason.SHARED_MEMORY),
    ("shared memory", FailureReason.SHARED_MEMORY),
    ("No space left on device", FailureReason.STORAGE_FULL),
    ("Watchdog caught collective operation timeout", FailureReason.NCCL_TIMEOUT),
    ("Timed out waiting", FailureReason.NCCL_TIMEOUT),
    ("wait timeout after", FailureReason.NCCL_TIMEOUT),
    ("The client socket has timed out", FailureReason.PEER_LOST),
    ("waiting for clients", FailureReason.PEER_LOST),
    ("Connection closed by peer", FailureReason.PEER_LOST),
    ("Connection reset by peer", FailureReason.PEER_LOST),
    ("Broken pipe", FailureReason.PEER_LOST),
    ("connectFullMesh failed", FailureReason.PEER_LOST),
    ("remote process exited", FailureReason.PEER_LOST),
    ("Cannot allocate memory", FailureReason.HOST_OOM),
    ("does not match the world size", FailureReason.WORLD_SIZE_MISMATCH),
)
STORAGE = frozenset({errno.EIO, errno.EROFS, errno.ESTALE})


def classify_error(error: BaseException) -> End:
    """The end that an exception means."""
    if isinstance(error, Preempted):
        kept = "saved" if error.saved else "not saved: the volume refused"
        return End(Outcome.PREEMPTED, message=f"left at step {error.step}, {kept}", saved=error.saved)
    if isinstance(error, RunError):
        return End(Outcome.FAILED, error.reason, error.message)
    reason = choose_reason(error)
    lines = "".join(traceback.format_exception(error)[-6:])
    return End(Outcome.FAILED, reason, f"{type(error).__name__}: {first_line(error)}", lines)


def choose_reason(error: BaseException) -> FailureReason:
    """The reason of an exception that is not ours."""
    if type(error).__name__ == "OutOfMemoryError":
        return FailureReason.CUDA_OOM
    if isinstance(error, MemoryError):
        return FailureReason.HOST_OOM
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return FailureReason.STORAGE_FULL
        if error.errno in STORAGE:
            return FailureReason.STORAGE_ERROR
    text = str(error).lower()
    return next((reason for sign, reason in SIGNS if sign.lower() in text), FailureReason.USER_CODE)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 300 characters."""
    return (str(error).strip().splitlines() or ["no message"])[0][:300]
