"""Each step draws from a seed of its own, so that a resumed step draws what it would have drawn."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from rfdetr_trainer.sampler import seed_everything


class StepSeeds(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Seeds torch, numpy and random by (seed, epoch, batch, rank) before each batch."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Runs after the batch was fetched."""
        seed_everything("step", self._seed, trainer.current_epoch, batch_idx, trainer.global_rank)
