"""What each rank of a training does and when, seen from inside, without a word of the program that trains.

Lightning asks every installed distribution for callbacks (the entry point group ``pytorch_lightning.callbacks_factory``).
The metadata of one in a folder on PYTHONPATH is enough, so the same callback watches our trainer and any other.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from rfdetr_contract import names

ENV_MARKS = "TRAINER_MARKS"
FACTORY = "trainer_marks:create_callbacks"
What = Literal["built", "fit", "train", "begin", "done", "validate", "validated"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment of one process; ``step`` counts finished optimizer steps."""

    time: float
    pid: int
    rank: int
    generation: int
    what: What
    step: int


def write_plugin(folder: Path, factory: str = FACTORY) -> None:
    """Metadata that makes Lightning call ``factory`` in each process with ``folder`` on its PYTHONPATH."""
    metadata = folder / "trainer_marks-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trainer-marks\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[pytorch_lightning.callbacks_factory]\nmarks = {factory}\n")


def read_marks(file: Path) -> list[Mark]:
    """The whole lines of the file; the last one may still be on its way."""
    if not file.exists():
        return []
    return [Mark(**json.loads(line)) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def write_mark(file: Path, mark: Mark) -> None:
    """One line in one write, so that the ranks' lines do not mix."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(asdict(mark)).encode() + b"\n")
    finally:
        os.close(descriptor)


def build_mark(what: What, step: int) -> Mark:
    """A moment of this process, now."""
    rank, generation = int(os.environ.get("RANK", "0")), int(os.environ.get(names.ENV_GENERATION) or "0")
    return Mark(time.time(), os.getpid(), rank, generation, what, step)


def count_steps(marks: Sequence[Mark], generation: int | None = None) -> int:
    """The furthest step that any rank finished, in one generation or in all."""
    steps = [mark.step for mark in marks if mark.what == "done" and generation in {None, mark.generation}]
    return max(steps, default=0)


class Marks(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Writes a line at the beginning and the end of each optimizer step, and at each stage before the first."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.mark("built", 0)

    def mark(self, what: What, step: int) -> None:
        """Write down this moment."""
        write_mark(self._file, build_mark(what, step))

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Data, module and processes are set up; nothing is restored yet."""
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
