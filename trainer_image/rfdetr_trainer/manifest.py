"""A checkpoint exists only when its manifest does: the manifest's fields, and the run folder's paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rfdetr_contract import names
from rfdetr_contract._base import Frozen
from rfdetr_contract.run import ModelRun, RunConfig


class Manifest(Frozen):
    """What is known of one checkpoint. ``step`` counts optimizer steps, ``epoch`` finished epochs, ``size`` bytes."""

    version: Literal[1] = 1
    file: str  # the checkpoint's name, in the same folder
    parent: str | None = None  # the name of the set before it, or of the one that its round resumed from
    generation: int
    step: int
    epoch: int
    batch_in_epoch: int  # batches of the running epoch that are already trained; 0 at an epoch's end
    accumulation: int = 1  # batches of an optimizer step
    world_size: int
    effective_batch: int
    sha256: str
    size: int
    time: float  # seconds since 1970
    seconds: float  # that the save took
    map50_95: float | None = None
    config_hash: str
    model: str  # variant, task, resolution and class count, as one comparable line
    classes: tuple[str, ...] = ()  # the class names in their order; none: not known
    dataset: str = ""  # the data set's fingerprint; empty: not known
    rfdetr: str
    torch: str

    @property
    def place(self) -> tuple[int, int, int]:
        """What orders sets: an epoch's end comes after the last step inside it."""
        return self.generation, self.step, self.epoch


def build_model_line(model: ModelRun, num_classes: int | None) -> str:
    """What must be equal for one run's full state to fit another: a line without a class count fits any count."""
    line = f"{model.variant} {model.task} {model.resolution}px"
    return line if num_classes is None else f"{line} {num_classes} classes"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The job's folder on the output claim."""

    root: Path

    @classmethod
    def of(cls, output_root: Path, run: RunConfig) -> RunFolder:
        """The folder of this very job."""
        return cls(output_root / run.output)

    @property
    def generations(self) -> Path:
        """Claims of rendezvous rounds."""
        return self.root / names.GENERATIONS_DIR

    @property
    def checkpoints(self) -> Path:
        """Checkpoints and their manifests."""
        return self.root / names.CHECKPOINTS_DIR

    @property
    def best(self) -> Path:
        """The best weights of each generation, by names of their own."""
        return self.root / names.BEST_DIR

    @property
    def rfdetr(self) -> Path:
        """RF-DETR's own output folder."""
        return self.root / names.RFDETR_DIR

    @property
    def logs(self) -> Path:
        """Logs of each rank, which survive their pod."""
        return self.root / names.LOGS_DIR

    @property
    def result(self) -> Path:
        """The terminal marker: the final RunReport."""
        return self.root / names.RESULT_FILE
