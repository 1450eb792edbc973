"""What is known of the run, from the workers' messages. It outlives them, so a restart leaves no hole in the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rfdetr_contract.report import SUCCESSES, FailureReason, Outcome, Progress, RunReport, Straggler, World
from rfdetr_trainer.launch.counters import Counters, Counts
from rfdetr_trainer.launch.goodput import OF_PHASE, Ledger, share_redone
from rfdetr_trainer.launch.wire import Died
from rfdetr_trainer.messages import Sealed, WorkerMessage

PREEMPTED = "Preempted"  # what ended a round when all ranks saved and left


@dataclass(slots=True)
class Board:
    """The newest of everything. Only the running generation is listened to.

    The pod's time and counts are those of its first rank: the ranks of a node go in step.
    """

    node_rank: int
    attempt: int
    first_rank: int = 0
    clock: Callable[[], float] = time.monotonic
    age: float = 0.0  # seconds that the launcher had lived when it made this board
    generation: int = 0
    process_restarts: int = 0
    steps_redone: int = 0
    resumed_step: int | None = None
    heard_step: int = 0  # in this round, or where it began
    progress: Progress | None = None
    world: World | None = None
    straggler: Straggler | None = None  # rank 0's launcher sets it
    hang: Died | None = None  # the last one; rank 0's launcher sets it
    warning: str = ""
    storage_fault: str = ""
    sealed: Sealed | None = None  # the newest checkpoint that this pod has saved
    last_words: dict[int, WorkerMessage] = field(default_factory=dict)
    _done_before: int = 0  # the furthest step that any round has reached
    _told_step: int = 0  # by the first rank
    _cause: str | None = None  # what ended this round
    _restarts: dict[str, int] = field(default_factory=dict)
    _class_ap: dict[str, float] = field(default_factory=dict)
    _counters: Counters = field(default_factory=Counters)
    _ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.clock() - self.age)

    def note_ready(self) -> None:
        """The fork server is warm: from here on this pod waits for others, not for itself."""
        self._ledger.enter("rendezvous", self.clock())

    def begin(self, generation: int, steps_redone: int, resumed_step: int | None, redoing: int = 0) -> None:
        """A round begins in this pod; ``redoing``: its first steps that an earlier round had done."""
        if self.generation > 0:
            self.process_restarts += 1
            cause = self._cause or FailureReason.PEER_LOST
            self._restarts[cause] = self._restarts.get(cause, 0) + 1
        self.generation = generation
        self.steps_redone = steps_redone
        self.resumed_step = resumed_step
        start = resumed_step or 0
        self._done_before = max(self._done_before, self.heard_step, start + redoing)
        self.heard_step = self._told_step = start
        self.last_words = {}
        self._cause = None
        self._counters.begin()
        self._ledger.enter("init", self.clock(), held=True)

    def note_death(self, reason: FailureReason) -> None:
        """What ended this round; the first cause that is told holds. A hang began with the last word that was heard."""
        if self._cause not in {None, FailureReason.PEER_LOST}:  # an effect, which may be heard before its cause
            return
        self._cause = reason
        if reason is FailureReason.HANG:
            self._ledger.hang(self.clock())

    def note_end(self, rank: int) -> None:
        """A worker of this node is gone."""
        word = self.last_words.get(rank)
        if word is not None and word.outcome is Outcome.PREEMPTED:
            self._cause = self._cause or PREEMPTED
        if rank == self.first_rank:
            told_end = self._ledger.category == "idle"  # rank 0 alone says an outcome when all is well
            finished = told_end if word is None else word.outcome in SUCCESSES
            self._ledger.enter("idle" if finished else "rendezvous", self.clock())

    def hear(self, message: WorkerMessage) -> None:
        """Take in what is new."""
        if message.generation != self.generation:
            return
        if message.progress is not None:
            self.progress = message.progress
            self.heard_step = max(self.heard_step, message.progress.step)
        self.world = message.world or self.world
        if message.resumed_step is not None:
            self.resumed_step = message.resumed_step
        if message.storage_fault is not None:
            self.storage_fault = message.storage_fault
        self.sealed = message.sealed or self.sealed
        if message.class_ap is not None:
            self._class_ap = message.class_ap
        if message.outcome is not None:
            self.last_words[message.rank] = message
        if message.pulse is not None:
            self._counters.hear(message.rank, message.pulse)
        if message.rank == self.first_rank:
            self._keep_time(message)

    def _keep_time(self, message: WorkerMessage) -> None:
        now, before = self.clock(), self._told_step
        told = message.step if message.step is not None else message.progress.step if message.progress else before
        self._told_step = max(before, told)
        self.heard_step = max(self.heard_step, self._told_step)
        training = self._ledger.category == "train"
        self._ledger.confirm(now, share_redone(before, self._told_step, self._done_before) if training else 0.0)
        if message.phase is not None:
            self._ledger.enter(OF_PHASE[message.phase], now, held=message.phase != "end")

    def look(self, time: float) -> tuple[RunReport, Counts]:
        """How the run stands, with the last hang that it has survived, and what was counted in this pod."""
        return self.build_report(time).model_copy(update=describe_hang(self.hang)), Counts(
            pulse=self._counters.read(self.first_rank),
            restarts=dict(self._restarts),
            gpus=self._counters.read_gpus(self.first_rank),
            class_ap=self._class_ap,
        )

    def build_report(self, time: float) -> RunReport:
        """How the run stands."""
        return RunReport(
            outcome=Outcome.RUNNING,
            node_rank=self.node_rank,
            attempt=self.attempt,
            generation=self.generation,
            process_restarts=self.process_restarts,
            steps_redone=self.steps_redone,
            resumed_step=self.resumed_step,
            time=time,
            world=self.world,
            progress=self.progress,
            storage_fault=self.storage_fault,
            seconds=self._ledger.read(self.clock()),
            straggler=self.straggler,
            warning=self.warning,
        )

    def build_last_word(self, rank: int, time: float) -> RunReport | None:
        """The report that a worker's last word amounts to; None: it had none."""
        word = self.last_words.get(rank)
        if word is None or word.outcome is None:
            return None
        said = word.model_dump(include={"outcome", "reason", "message", "last_lines", "best_checkpoint"})
        return self.build_report(time).model_copy(
            update={**said, "outcome": word.outcome, "reason": word.reason, "judgement": word.judgement}
        )

    def complete(self, report: RunReport, time: float) -> RunReport:
        """The report as this launcher gives it: the end as it was agreed, the rest as far as it is known here."""
        own = {
            "node_rank": self.node_rank,
            "attempt": self.attempt,
            "generation": report.generation or self.generation,
            "process_restarts": self.process_restarts,
            "steps_redone": max(report.steps_redone, self.steps_redone),
            "resumed_step": report.resumed_step if report.resumed_step is not None else self.resumed_step,
            "time": report.time or time,
            "world": report.world or self.world,
            "progress": report.progress or self.progress,
            "storage_fault": report.storage_fault or self.storage_fault,
            "straggler": report.straggler or self.straggler,
            "seconds": self._ledger.read(self.clock(), whole=True),
            "warning": report.warning or self.warning,
        }
        return report.model_copy(update=own)


def describe_hang(hang: Died | None) -> dict[str, object]:
    """What a running report says of a hang: its round, its rank and its calls. It has no reason, since the run goes on."""
    if hang is None:
        return {}
    message = f"round {hang.generation}: {hang.message}"
    return {"message": message, "culprit_rank": hang.rank, "last_lines": hang.last_lines}
