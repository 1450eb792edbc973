"""The marks of a Lightning training, ours or any other, without a word of the program that trains.

Lightning asks every installed distribution for callbacks (the entry point group ``pytorch_lightning.callbacks_factory``),
and the metadata of one in a folder on PYTHONPATH is enough.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from trainer_marks import ENV_MARKS, What, build_mark, write_mark


class Marks(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Writes a line at the beginning and the end of each optimizer step, and at each stage before the first."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.mark("built", 0)

    def mark(self, what: What, step: int) -> None:
        """Write down this moment."""
        write_mark(self._file, build_mark(what, step))

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The ranks have found each other."""
        self.mark("setup", trainer.global_step)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The weights are there; the counters are not yet."""
        self.mark("fit", trainer.global_step)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Everything is restored."""
        self.mark("train", trainer.global_step)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The first batch of a step is here."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.mark("begin", trainer.global_step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The optimizer has stepped, unless gradients are still gathered."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or batch_idx + 1 >= trainer.num_training_batches:
            self.mark("done", trainer.global_step)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation begins."""
        self.mark("validate", trainer.global_step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A validation is over."""
        self.mark("validated", trainer.global_step)


def create_callbacks() -> list[pl.Callback]:
    """The factory that Lightning calls."""
    file = os.environ.get(ENV_MARKS)
    return [Marks(Path(file))] if file else []
