"""RunReport: all that the trainer tells back, while it runs and at its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from rfdetr_contract._base import Frozen
from rfdetr_contract.names import TERMINATION_LIMIT

MESSAGE_LIMIT = 1024


class Outcome(enum.StrEnum):
    """How a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    EARLY_STOPPED = "early_stopped"
    PREEMPTED = "preempted"
    FAILED = "failed"


SUCCESSES = frozenset({Outcome.COMPLETED, Outcome.EARLY_STOPPED})


class FailureReason(enum.StrEnum):
    """Why a run failed."""

    CONFIG_ERROR = "ConfigError"
    DATA_ERROR = "DataError"
    WORLD_SIZE_MISMATCH = "WorldSizeMismatch"
    CHECKPOINT_CORRUPT = "CheckpointCorrupt"
    CUDA_OOM = "CudaOOM"
    HOST_OOM = "HostOOM"
    SHARED_MEMORY = "SharedMemory"
    STORAGE_FULL = "StorageFull"
    STORAGE_ERROR = "StorageError"
    NAN_LOSS = "NaNLoss"
    NCCL_TIMEOUT = "NCCLTimeout"
    HANG = "Hang"  # a rank lived and did nothing for longer than its phase allows
    PEER_LOST = "PeerLost"
    OVERTAKEN = "Overtaken"  # another pod claimed a newer generation of the same run
    USER_CODE = "UserCode"
    CRASHED = "Crashed"  # a signal, or an end without a word


PERMANENT = frozenset(
    {
        FailureReason.CONFIG_ERROR,
        FailureReason.DATA_ERROR,
        FailureReason.WORLD_SIZE_MISMATCH,
    }
)


class ExitCode(enum.IntEnum):
    """Exit codes of the launcher and its workers (the numbers of sysexits.h where it has one)."""

    OK = 0
    USAGE = 64
    DATA_ERROR = 65
    FAILED = 70
    STORAGE = 74
    PREEMPTED = 75  # EX_TEMPFAIL: told to stop, try again
    CONFIG_ERROR = 78


class World(Frozen):
    """The world that was asked for and the one that rank 0 counted; of devices and nodes the first 16."""

    expected: int
    attested: int
    devices: tuple[str, ...] = ()  # by rank
    devices_per_node: tuple[int, ...] = ()  # by node rank
    precision: str | None = None


class Straggler(Frozen):
    """The rank whose own work of a step (data wait and forward pass) takes longest, against the median of all ranks."""

    rank: int
    ratio: float


Weights = Literal["regular", "ema"]


class Best(Frozen):
    """The best mAP 50:95 so far and the epoch (counted from 1) that reached it."""

    value: float
    epoch: int


class Patience(Frozen):
    """The early-stopping counter: validated epochs without an improvement, and how many are allowed."""

    waited: int
    limit: int


class CheckpointState(Frozen):
    """The newest durable checkpoint."""

    step: int
    epoch: int
    time: float  # seconds since 1970
    size: int  # bytes
    file: str
    seconds: float = 0.0  # that the save took


class Scores(Frozen):
    """COCO metrics of one validation, 0 to 1."""

    map50_95: float
    map50: float
    map75: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    mar: float | None = None


class Judgement(Frozen):
    """The best checkpoint judged once more by pycocotools' COCOeval, beside what RF-DETR's own evaluator had said."""

    map50_95: float
    map50: float
    reported: float
    tolerance: float
    agrees: bool


class Progress(Frozen):
    """Where the training stands. ``epoch`` counts finished epochs; ``step`` counts optimizer steps."""

    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    regular: Scores | None = None
    ema: Scores | None = None
    val_loss: float | None = None
    best: Best | None = None  # of whichever weights
    bests: dict[Weights, Best] = {}
    patience: Patience | None = None  # None: early stopping is off
    losses: dict[str, Annotated[float, Field(allow_inf_nan=True)]] = {}  # a broken one is told as well
    learning_rates: dict[str, float] = {}  # encoder, decoder, head: the highest of their layers
    images_per_second: float | None = None
    eta_seconds: float | None = None
    checkpoint: CheckpointState | None = None

    @property
    def scores(self) -> Scores | None:
        """What a user calls *the* mAP: the better of the regular and the EMA weights."""
        found = [score for score in (self.regular, self.ema) if score is not None]
        return max(found, key=lambda score: score.map50_95, default=None)


class RunReport(Frozen):
    """What one launcher says of the run."""

    version: Literal[1] = 1
    outcome: Outcome
    reason: FailureReason | None = None
    message: str = ""  # while it runs, with culprit and last lines: the last hang that it has survived
    node_rank: int = 0
    attempt: int = 1
    generation: int = 0  # rendezvous round
    process_restarts: int = 0  # rounds after the first, in this pod
    steps_redone: int = 0  # optimizer steps lost to restarts, summed over the run
    resumed_step: int | None = None
    time: float = Field(default=0.0, description="Seconds since 1970.")
    world: World | None = None
    progress: Progress | None = None
    storage_fault: str = ""  # why the newest checkpoint could not be saved; empty again once one was
    warning: str = ""  # what may go wrong later, in one sentence
    straggler: Straggler | None = None
    seconds: dict[str, float] = {}  # where this pod's time went, by category; they add up to its life
    best_checkpoint: str | None = None  # below the output root
    judgement: Judgement | None = None
    culprit_rank: int | None = None
    last_lines: str = ""  # of the first failing rank

    def to_termination_message(self, limit: int = TERMINATION_LIMIT) -> str:
        """JSON of at most ``limit`` bytes, by the first cut that is enough; who failed and its last lines stay."""
        for cut in CUTS:
            kept = {"last_lines": self.last_lines[-cut.last_lines :], "message": self.message[: cut.message]}
            text = self.model_copy(update=kept).model_dump_json(
                exclude_none=True, include=cut.include, exclude=cut.exclude
            )
            if len(text.encode()) <= limit:
                break
        return text


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a report's words is kept, in characters, and which of its fields are (``include`` None: all others)."""

    last_lines: int
    message: int
    exclude: dict[str, Any] | None = None
    include: set[str] | None = None


# What the metrics tell as well.
MINOR: dict[str, Any] = {
    "world": {"devices"},
    "progress": {"losses", "learning_rates"},
    "straggler": True,
    "seconds": True,
    "warning": True,
}
# How it ended, who did it, and what is a number. A character may take six bytes: that fits whatever the words are.
CORE = {
    "version",
    "outcome",
    "reason",
    "message",
    "node_rank",
    "attempt",
    "generation",
    "process_restarts",
    "steps_redone",
    "resumed_step",
    "time",
    "culprit_rank",
    "last_lines",
}
CUTS = (
    Cut(1500, MESSAGE_LIMIT),
    Cut(1200, 500),
    Cut(600, 400),
    Cut(600, 400, MINOR),
    Cut(300, 300, MINOR),
    Cut(300, 120, include=CORE),
)


EXIT_CODES: dict[FailureReason, ExitCode] = {
    FailureReason.CONFIG_ERROR: ExitCode.CONFIG_ERROR,
    FailureReason.WORLD_SIZE_MISMATCH: ExitCode.CONFIG_ERROR,
    FailureReason.DATA_ERROR: ExitCode.DATA_ERROR,
    FailureReason.STORAGE_FULL: ExitCode.STORAGE,
    FailureReason.STORAGE_ERROR: ExitCode.STORAGE,
}


def exit_code(outcome: Outcome, reason: FailureReason | None = None) -> ExitCode:
    """The exit code that belongs to an outcome."""
    if outcome in SUCCESSES:
        return ExitCode.OK
    if outcome is Outcome.PREEMPTED:
        return ExitCode.PREEMPTED
    return EXIT_CODES.get(reason, ExitCode.FAILED) if reason else ExitCode.FAILED
