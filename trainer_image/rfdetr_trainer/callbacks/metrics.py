"""Where the training stands, told to the launcher by rank 0: a snapshot of what Lightning and RF-DETR have computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from rfdetr_contract.report import Best, CheckpointState, Patience, Progress, Scores
from rfdetr_contract.variants import Task
from rfdetr_trainer.callbacks.guards import find_early_stopping
from rfdetr_trainer.messages import Line

SEND_INTERVAL = 0.5  # seconds between two messages for steps alone
KEYS = {"detection": "mAP", "segmentation": "segm_mAP"}
LOSSES = {
    "loss": "total",
    "train/loss": "total",
    "loss_cls": "class",
    "loss_box": "box",
    "loss_giou": "giou",
    "loss_mask_ce": "mask_ce",
    "loss_mask_dice": "mask_dice",
}


def read_scores(metrics: Mapping[str, float], task: Task, prefix: str) -> Scores | None:
    """The COCO metrics of one set of weights, or None when they were not computed."""
    key = KEYS[task]
    value = metrics.get(f"val/{prefix}{key}_50_95")
    if value is None or value < 0:
        return None
    return Scores(map50_95=value, map50=max(metrics.get(f"val/{prefix}{key}_50", 0.0), 0.0))


def read_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """The parts of the loss, by our names."""
    return {name: round(metrics[key], 6) for key, name in LOSSES.items() if key in metrics}


def choose_best(best: Best | None, regular: Scores | None, ema: Scores | None, epoch: int) -> Best | None:
    """The best so far: a new one must be better, not equal."""
    value = max((score.map50_95 for score in (regular, ema) if score is not None), default=None)
    if value is None or (best is not None and value <= best.value):
        return best
    return Best(value=value, epoch=epoch)


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
        self.regular: Scores | None = None
        self.ema: Scores | None = None
        self.best: Best | None = None
        self.checkpoint: CheckpointState | None = None
        self.scored: Callable[[float | None], None] = lambda _: None  # told of each validation's mAP 50:95

    def state_dict(self) -> dict[str, Any]:
        """Plain types only: it is loaded without pickle's freedom."""
        kept = {"regular": self.regular, "ema": self.ema, "best": self.best}
        return {name: value.model_dump() for name, value in kept.items() if value is not None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The scores that were known when the checkpoint was made."""
        self.regular = Scores.model_validate(state_dict["regular"]) if "regular" in state_dict else None
        self.ema = Scores.model_validate(state_dict["ema"]) if "ema" in state_dict else None
        self.best = Best.model_validate(state_dict["best"]) if "best" in state_dict else None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The pace is this process's own."""
        self._pace = Pace(self._clock(), trainer.global_step)
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
        metrics = read_metrics(trainer)
        self.ema = read_scores(metrics, self._task, "ema_")
        regular = read_scores(metrics, self._task, "")
        # Unless both were evaluated, RF-DETR shows the EMA's metrics under the regular keys as well.
        self.regular = None if self.ema is not None and regular == self.ema else regular
        self.best = choose_best(self.best, self.regular, self.ema, trainer.current_epoch + 1)
        self.scored(max((score.map50_95 for score in (self.regular, self.ema) if score is not None), default=None))

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
            regular=self.regular,
            ema=self.ema,
            best=self.best,
            patience=None if stopping is None else Patience(waited=stopping.wait_count, limit=stopping.patience),
            losses=self._losses,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None,
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
