"""What is known of the run, from the workers' messages. It outlives them, so a restart leaves no hole in the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfdetr_contract.report import Outcome, Progress, RunReport, Straggler, World
from rfdetr_trainer.messages import WorkerMessage


@dataclass(slots=True)
class Board:
    """The newest of everything. Only the running generation is listened to."""

    node_rank: int
    attempt: int
    generation: int = 0
    process_restarts: int = 0
    steps_redone: int = 0
    resumed_step: int | None = None
    heard_step: int = 0  # in this round, or where it began
    progress: Progress | None = None
    world: World | None = None
    straggler: Straggler | None = None  # rank 0's launcher sets it
    warning: str = ""
    last_words: dict[int, WorkerMessage] = field(default_factory=dict)

    def begin(self, generation: int, steps_redone: int, resumed_step: int | None) -> None:
        """A round begins in this pod."""
        self.process_restarts += self.generation > 0
        self.generation = generation
        self.steps_redone = steps_redone
        self.resumed_step = resumed_step
        self.heard_step = resumed_step or 0
        self.last_words = {}

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
        if message.outcome is not None:
            self.last_words[message.rank] = message

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
            "warning": report.warning or self.warning,
        }
        return report.model_copy(update=own)
