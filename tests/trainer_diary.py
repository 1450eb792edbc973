"""What a training computed in each batch, written down as it went: samples, loss, learning rates.

Lightning loads the callback by itself (see ``trainer_marks.write_plugin``), whoever started the training.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

ENV_DIARY = "TRAINER_DIARY"  # a folder
FACTORY = "trainer_diary:create_callbacks"


class Diary(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """One line a batch, in one write: it stays when the process is killed right after it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Where the batch stands, and all that could differ; numbers to their last bit."""
        entry = {
            "epoch": trainer.current_epoch,
            "batch": batch_idx,
            "step": trainer.global_step,
            "samples": [int(target["image_id"]) for target in batch[1]],
            "loss": float(outputs["loss"]).hex(),
            "rates": sorted({float(group["lr"]).hex() for group in trainer.optimizers[0].param_groups}),
        }
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.close(descriptor)


def read_diary(folder: Path, rank: int = 0) -> list[str]:
    """A rank's lines, in the order in which they were written."""
    return (folder / f"rank-{rank}.jsonl").read_text().splitlines()


def create_callbacks() -> list[pl.Callback]:
    """The factory that Lightning calls."""
    folder = os.environ.get(ENV_DIARY)
    return [Diary(Path(folder) / f"rank-{os.environ['RANK']}.jsonl")] if folder else []
