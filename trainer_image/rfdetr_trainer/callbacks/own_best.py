"""A run that begins from another run's checkpoint has a best of its own: the other one's weights are not in its folder."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from rfdetr.training.callbacks import BestModelCallback

from rfdetr_trainer.callbacks.progress import ProgressReporter


class OwnBest(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Forgets the restored best scores; early stopping keeps its counter, which is part of the full state."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self._reporter = reporter

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Runs after the callbacks were restored."""
        for callback in trainer.callbacks:
            if isinstance(callback, BestModelCallback):
                forget_best(callback)
        self._reporter.best, self._reporter.bests = None, {}


def forget_best(callback: Any) -> None:
    """As RF-DETR's callback begins. Lightning itself restores less of it where the folder is another one."""
    callback._best_ema = callback._smoothed_regular = callback._best_raw_regular = 0.0
    callback.best_model_score, callback.best_model_path, callback.best_k_models = None, "", {}
