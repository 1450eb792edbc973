"""What each rank of a training did and when: lines of a file, written by the ranks themselves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rfdetr_contract import names

ENV_MARKS = "TRAINER_MARKS"
FACTORY = "trainer_callback:create_callbacks"
What = Literal["built", "setup", "fit", "train", "begin", "done", "validate", "validated"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment of one process; ``step`` counts finished optimizer steps."""

    time: float
    pid: int
    rank: int
    generation: int
    what: What
    step: int


def parse_marks(text: str) -> list[Mark]:
    """A mark a line."""
    return [Mark(**json.loads(line)) for line in text.splitlines()]


def read_marks(file: Path) -> list[Mark]:
    """The whole lines of the file; the last one may still be on its way."""
    return parse_marks(file.read_text().rpartition("\n")[0]) if file.exists() else []


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


def write_plugin(folder: Path, factory: str = FACTORY) -> None:
    """Metadata that makes Lightning call ``factory`` in each process with ``folder`` on its PYTHONPATH."""
    metadata = folder / "trainer_marks-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trainer-marks\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[pytorch_lightning.callbacks_factory]\nmarks = {factory}\n")
