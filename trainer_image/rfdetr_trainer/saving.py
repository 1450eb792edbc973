"""All that saves in one round, put together: the door to the disk, when it is opened, and who hears of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rfdetr_contract.report import CheckpointState
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.callbacks.meter import Meter
from rfdetr_trainer.callbacks.progress import ProgressReporter
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO, Patience, Tell
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.fingerprint import DatasetFacts
from rfdetr_trainer.generations import read_claims
from rfdetr_trainer.interval import Interval, count_losses
from rfdetr_trainer.manifest import RunFolder, build_model_line
from rfdetr_trainer.sets import Keep, SetFacts

if TYPE_CHECKING:
    from rfdetr_trainer.fit import Round

LAST_WORDS = 10.0  # seconds of a stop that are not a save's


@dataclass(frozen=True, slots=True)
class Saving:
    """What a round saves with."""

    storage: DurableCheckpointIO
    interval: Interval
    meter: Meter

    def note_last(self) -> None:
        """The next save is the last: whoever asks for it does nothing until it is durable."""
        self.storage.is_last = True

    def is_saved(self) -> bool:
        """Wait for the newest save; whether it is durable."""
        before = self.meter.phase or "train"
        self.meter.enter("checkpoint")  # a slow volume is no hang
        saved = self.storage.drain()
        self.meter.enter(before)
        return saved


def build_saving(run: RunConfig, this: Round, facts: DatasetFacts, reporter: ProgressReporter, meter: Meter) -> Saving:
    """The saving of this round."""
    folder, resume = RunFolder.of(this.output_root, run), this.resume
    keep = Keep(
        last=run.checkpoints.keep_last,
        best=run.checkpoints.keep_best,
        resumed=Path(resume.file).name if resume else None,
    )
    storage = DurableCheckpointIO(
        folder,
        build_facts(run, this.generation, facts),
        keep,
        resume,
        build_tell(reporter, meter),
        pod_uid=this.pod_uid,
        patience=Patience(last=max(run.limits.stop_seconds - LAST_WORDS, 1.0)),
        volume=this.volume,
        tell_sealed=lambda sealed: this.line.send(sealed=sealed),
    )
    reporter.scored = lambda score: setattr(storage, "score", score)
    losses = count_losses(read_claims(folder.generations), time.time())
    interval = Interval(run.checkpoints, losses, lambda: storage.cost, say, is_busy=lambda: storage.is_busy)
    return Saving(storage, interval, meter)


def build_facts(run: RunConfig, generation: int, facts: DatasetFacts) -> SetFacts:
    """What the manifests of this round have in common."""
    return SetFacts(
        generation=generation,
        world_size=run.topology.world_size,
        accumulation=run.batch.accumulation,
        effective_batch=run.batch.effective,
        config_hash=run.hash(),
        model=build_model_line(run.model, len(facts.classes)),
        classes=facts.classes,
        dataset=facts.fingerprint,
        rfdetr=version("rfdetr"),
        torch=torch.__version__,
    )


def build_tell(reporter: ProgressReporter, meter: Meter) -> Tell:
    """A durable set is progress; a fault is told at once."""

    def tell(state: CheckpointState | None, fault: RunError | None) -> None:
        if state is not None:
            reporter.checkpoint = state
        if fault is None:
            meter.note_storage("")
        else:
            meter.note_storage(fault.message, fault.reason)

    return tell


def say(line: str) -> None:
    """One line for a reader of the log."""
    print(f"rfdetr: {line}", flush=True)
