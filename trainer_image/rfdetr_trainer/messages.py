"""What a worker tells its launcher: one JSON object a datagram on a unix socket."""

from __future__ import annotations

import contextlib
import socket
from typing import Literal

from rfdetr_contract._base import Frozen
from rfdetr_contract.report import FailureReason, Judgement, Outcome, Progress, World

Phase = Literal["init", "first_step", "train", "eval", "checkpoint", "export", "judge", "end"]


class Pulse(Frozen):
    """What one rank has counted since its process began: totals, so that a lost message loses nothing.

    ``step_buckets`` counts optimizer steps by the bounds of ``metrics.STEP_BUCKETS``, the last one being above them all;
    ``own_seconds`` is a moving average of one step's data wait and forward pass, which no slow peer can stretch.
    """

    steps: int = 0
    samples: int = 0  # of all ranks
    step_buckets: tuple[int, ...] = ()
    step_seconds: float = 0.0
    data_wait_seconds: float = 0.0
    eval_seconds: float = 0.0
    checkpoint_seconds: float = 0.0  # that the training stood still for
    checkpoint_failures: dict[FailureReason, int] = {}
    own_seconds: float | None = None
    gpu_allocated_bytes: int | None = None
    gpu_peak_bytes: int | None = None


class Sealed(Frozen):
    """What identifies a checkpoint that was just hashed and made durable, as long as nobody changes it."""

    file: str
    size: int
    mtime_ns: int
    inode: int


class WorkerMessage(Frozen):
    """One message; only ``rank`` and ``generation`` are always there, the rest is what is new.

    Every rank sends ``phase`` with ``step`` and ``pulse``: at once when the phase changes, and at most twice a second
    while it trains or validates. Rank 0 sends ``progress``. ``storage_fault``: why a checkpoint was not saved, or empty
    once one was again; ``sealed``: the one that was.
    ``outcome`` (with ``reason``, ``message``, ``last_lines``) is sent once, as the worker's last word; ``saved`` with that
    of one that was told to leave: whether the state is durable.
    """

    rank: int
    generation: int
    phase: Phase | None = None
    step: int | None = None  # optimizer steps of the run that this rank has done
    pulse: Pulse | None = None
    progress: Progress | None = None
    class_ap: dict[str, float] | None = None
    storage_fault: str | None = None
    sealed: Sealed | None = None
    world: World | None = None
    resumed_step: int | None = None
    outcome: Outcome | None = None
    reason: FailureReason | None = None
    message: str = ""
    last_lines: str = ""
    saved: bool | None = None
    best_checkpoint: str | None = None
    judgement: Judgement | None = None


LAST_WORD_SECONDS = 5.0  # a last word waits for room in the socket; all else is said again anyway


class Line:
    """The worker's end of the socket. A launcher that is gone or slow never stops the training."""

    def __init__(self, path: str | None, rank: int, generation: int) -> None:
        self._path = path
        self._rank = rank
        self._generation = generation
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def build(self, **news: object) -> WorkerMessage:
        """A message from this worker."""
        return WorkerMessage.model_validate({"rank": self._rank, "generation": self._generation, **news})

    def send(self, **news: object) -> None:
        """Tell the launcher what is new; without a launcher this does nothing."""
        if self._path is None:
            return
        message = self.build(**news)
        data = message.model_dump_json(exclude_none=True).encode()
        with contextlib.suppress(OSError):
            if message.outcome is None:
                self._socket.sendto(data, self._path)
                return
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as patient:
                patient.settimeout(LAST_WORD_SECONDS)
                patient.sendto(data, self._path)

    def close(self) -> None:
        """Nothing more is said."""
        self._socket.close()
