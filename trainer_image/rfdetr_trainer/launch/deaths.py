"""What a worker's end means: its own last word first, else its exit code, else its signal."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from rfdetr_contract.report import ExitCode, FailureReason
from rfdetr_trainer.launch.wire import Died
from rfdetr_trainer.messages import WorkerMessage

CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
LINES_LIMIT = 4000
GOOD_ENDS = frozenset({ExitCode.OK, ExitCode.PREEMPTED})
BY_CODE: dict[int, FailureReason] = {
    ExitCode.DATA_ERROR: FailureReason.DATA_ERROR,
    ExitCode.CONFIG_ERROR: FailureReason.CONFIG_ERROR,
    ExitCode.STORAGE: FailureReason.STORAGE_ERROR,
}


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended.

    ``oom_kills`` counts kills for memory in this container during its life; ``killed``: by its own launcher.
    """

    rank: int
    generation: int
    code: int
    last_word: WorkerMessage | None
    last_lines: str
    oom_kills: int = 0
    killed: bool = False

    @property
    def is_unsaved(self) -> bool:
        """The worker left when it was told to, and says that the volume has not taken the state."""
        return self.last_word is not None and self.last_word.saved is False


def classify_end(end: WorkerEnd) -> Died | None:
    """The death that this end is; None: the worker finished, or saved and left, or died of our hand without a word."""
    word = end.last_word
    if end.code in GOOD_ENDS or (end.killed and (word is None or word.reason is None)):
        return None
    reason, message = _classify_code(end)
    if word is not None and word.reason is not None:
        reason, message = word.reason, word.message or message
    lines = word.last_lines if word is not None and word.last_lines else end.last_lines
    return Died(
        generation=end.generation, rank=end.rank, reason=reason, message=message, last_lines=lines[-LINES_LIMIT:]
    )


def build_silent_end(end: WorkerEnd) -> Died:
    """Rank 0 ended with code 0 but neither said an outcome nor wrote a result."""
    return Died(
        generation=end.generation,
        rank=end.rank,
        reason=FailureReason.CRASHED,
        message=f"rank {end.rank} ended without a word",
        last_lines=end.last_lines[-LINES_LIMIT:],
    )


def _classify_code(end: WorkerEnd) -> tuple[FailureReason, str]:
    if end.code >= 0:
        last = end.last_lines.rpartition("\n")[2]
        words = f"rank {end.rank} ended with code {end.code}"
        return BY_CODE.get(end.code, FailureReason.CRASHED), f"{words}: {last}" if last else words
    name = signal.Signals(-end.code).name if -end.code in set(signal.Signals) else f"signal {-end.code}"
    if end.code == -signal.SIGKILL and end.oom_kills:
        return FailureReason.HOST_OOM, f"rank {end.rank} was killed because the container ran out of memory"
    if end.code == -signal.SIGBUS:
        words = (
            f"rank {end.rank} was killed by SIGBUS: /dev/shm is full, or a file on a volume that it had mapped was cut"
        )
        return FailureReason.SHARED_MEMORY, f"{words} or cannot be read"
    return FailureReason.CRASHED, f"rank {end.rank} was killed by {name}"


def read_oom_kills(path: Path = CGROUP_EVENTS) -> int:
    """How often the kernel killed in this container for memory; 0 where that is not told."""
    try:
        fields = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(fields.get("oom_kill", 0))
