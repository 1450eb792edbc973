"""Where the training stands, told to the launcher by rank 0: a snapshot of what Lightning and RF-DETR have computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from rfdetr_contract.report import Best, CheckpointState, Patience, Progress, Scores, Weights
from rfdetr_contract.variants import Task
from rfdetr_trainer.callbacks.guards import find_early_stopping
from rfdetr_trainer.callbacks.meter import SEND_INTERVAL
from rfdetr_trainer.callbacks.scores import (
    choose_best,
    name_groups,
    read_class_ap,
    read_losses,
    read_rates,
    read_ratio,
    read_scores,
)
from rfdetr_trainer.messages import Line


@dataclass(slots=True)
class Pace:
    """Steps and seconds of this process, validation included; and of steps alone."""

    started: float
    first_step: int
    step_seconds: float | None = None

    def feel(self, seconds: float) -> None:
        """A moving average over about ten steps."""
        self.step_seconds = seconds if self.step_seconds is None else self.step_seconds * 0.9 + seconds * 0.1

    def estimate(self, now: float, step: int, planned: int) -> float | None:
        """Seconds to the planned end at the pace seen so far."""
        done = step - self.first_step
        return None if done <= 0 else (now - self.started) / done * max(planned - step, 0)


class ProgressReporter(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Tells rank 0's launcher; its own state (scores, best) is part of the checkpoint."""

    def __init__(
        self, line: Line, task: Task, epochs: int, batch: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._task = task
        self._epochs = epochs
        self._batch = batch
        self._clock = clock
        self._sent = 0.0
        self._pace = Pace(clock(), 0)
        self._step_began: float | None = None
        self._losses: dict[str, float] = {}
        self._groups: list[str] = []
        self.scores: dict[Weights, Scores] = {}
        self.val_loss: float | None = None
        self.best: Best | None = None
        self.bests: dict[Weights, Best] = {}
        self.checkpoint: CheckpointState | None = None
        self.scored: Callable[[float | None], None] = lambda _: None  # told of each validation's mAP 50:95

    def state_dict(self) -> dict[str, Any]:
        """Plain types only: it is loaded without pickle's freedom."""
        return {
            "scores": {weights: scores.model_dump() for weights, scores in self.scores.items()},
            "bests": {weights: best.model_dump() for weights, best in self.bests.items()},
            "best": None if self.best is None else self.best.model_dump(),
            "val_loss": self.val_loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The scores that were known when the checkpoint was made."""
        self.scores = {weights: Scores.model_validate(kept) for weights, kept in state_dict.get("scores", {}).items()}
        self.bests = {weights: Best.model_validate(kept) for weights, kept in state_dict.get("bests", {}).items()}
        best = state_dict.get("best")
        self.best = None if best is None else Best.model_validate(best)
        self.val_loss = state_dict.get("val_loss")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The pace is this process's own."""
        self._pace = Pace(self._clock(), trainer.global_step)
        self._groups = name_groups(pl_module, trainer.optimizers[0])
        self._tell(trainer)
        self._sent = 0.0  # the first step after a restart is news

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """An optimizer step begins with its first batch."""
        if batch_idx % trainer.accumulate_grad_batches == 0 and self._step_began is None:
            self._step_began = self._clock()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """At most two messages a second."""
        now = self._clock()
        if self._step_began is not None and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._pace.feel(now - self._step_began)
            self._step_began = now
        if trainer.is_global_zero and now - self._sent >= SEND_INTERVAL:
            self._losses = read_losses(read_metrics(trainer)) or self._losses
            self._tell(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Time spent here is no step's."""
        self._step_began = None
        self._tell(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """RF-DETR's own callbacks have run: the metrics and the patience counter are this epoch's."""
        if trainer.sanity_checking:
            return
        metrics, epoch = read_metrics(trainer), trainer.current_epoch + 1
        self.scores = read_scores(metrics, self._task)
        self.val_loss = read_ratio(metrics, "val/loss")
        self.best = choose_best(self.best, self.scores.values(), epoch)
        for weights, scores in self.scores.items():
            if (best := choose_best(self.bests.get(weights), [scores], epoch)) is not None:
                self.bests[weights] = best
        self.scored(max((scores.map50_95 for scores in self.scores.values()), default=None))
        if trainer.is_global_zero and (classes := read_class_ap(metrics)):
            self._line.send(class_ap=classes)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The epoch's numbers."""
        self._tell(trainer, finished=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The last numbers."""
        self._tell(trainer)

    def snapshot(self, trainer: Any, finished: int | None = None) -> Progress:
        """Where the training stands now."""
        accumulation = trainer.accumulate_grad_batches
        batches = trainer.num_training_batches
        steps = int(batches // accumulation) if batches and batches != float("inf") else 0
        stopping = find_early_stopping(trainer)
        rate = self._pace.step_seconds
        planned = steps * self._epochs
        return Progress(
            epoch=trainer.fit_loop.epoch_progress.current.processed if finished is None else finished,
            epochs=self._epochs,
            step=trainer.global_step,
            steps_per_epoch=steps,
            regular=self.scores.get("regular"),
            ema=self.scores.get("ema"),
            val_loss=self.val_loss,
            best=self.best,
            bests=dict(self.bests),
            patience=None if stopping is None else Patience(waited=stopping.wait_count, limit=stopping.patience),
            losses=self._losses,
            learning_rates=read_rates(self._groups, trainer.optimizers[0]) if self._groups else {},
            images_per_second=None if not rate else round(self._batch / rate, 2),
            eta_seconds=self._pace.estimate(self._clock(), trainer.global_step, planned) if planned else None,
            checkpoint=self.checkpoint,
        )

    def _tell(self, trainer: Any, finished: int | None = None) -> None:
        if trainer.is_global_zero:
            self._sent = self._clock()
            self._line.send(progress=self.snapshot(trainer, finished))


def read_metrics(trainer: Any) -> dict[str, float]:
    """Lightning's metrics as numbers."""
    return {key: float(value) for key, value in trainer.callback_metrics.items()}
