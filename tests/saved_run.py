"""A run folder that is saved to without a training: what Lightning hands over, as far as we read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from rfdetr_contract.report import CheckpointState, FailureReason
from rfdetr_trainer.best import Candidate
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO, Patience
from rfdetr_trainer.durable import Volume
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.generations import Claim, ClaimedResume, write_claim
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.resume import Choice, Digests, Resume, choose_valid, list_chain
from rfdetr_trainer.sets import Keep, SetFacts
from torn_volume import Quick

FOLDER = "n/j/u"
QUICK = Quick()


def make_facts(generation: int = 2) -> SetFacts:
    """What the manifests of a round have in common."""
    return SetFacts(
        generation=generation,
        world_size=2,
        accumulation=2,
        effective_batch=8,
        config_hash="c",
        model="nano",
        classes=("a",),
        dataset="d",
        rfdetr="1",
        torch="2",
    )


def make_checkpoint(step: int, *, epoch: int = 0, batches: int = 0, size: int = 8) -> dict[str, Any]:
    """The state of one moment."""
    current = {"started": epoch + (1 if batches else 0), "processed": epoch}
    loop = {"epoch_progress": {"current": current}, "epoch_loop.batch_progress": {"current": {"ready": batches}}}
    weights = torch.full((size,), float(step))
    average = {"average_model_state_dict": {"module.model.weights": weights / 2}}
    return {
        "global_step": step,
        "loops": {"fit_loop": loop},
        "state_dict": {"model.weights": weights},
        "callbacks": {"EMA": average},
    }


def make_candidate(step: int, *, epoch: int = 1, score: float = 0.5) -> Candidate:
    """The moving average has become the best."""
    return Candidate("ema", True, step, epoch, "val/ema_mAP_50_95", score, score, score, {"epoch": epoch - 1})


class Told:
    """Collects what the launcher would hear."""

    def __init__(self) -> None:
        self.states: list[CheckpointState] = []
        self.faults: list[FailureReason] = []

    def __call__(self, state: CheckpointState | None, fault: RunError | None) -> None:
        if state is not None:
            self.states.append(state)
        if fault is not None:
            self.faults.append(fault.reason)


class SavedRun:
    """One job's output folder, through its generations."""

    def __init__(self, root: Path, told: Told | None = None) -> None:
        self.root = root
        self.folder = RunFolder(root / FOLDER)
        self.told = told or Told()

    def choose(self) -> Choice:
        """What the next round would go on from."""
        return choose_valid(list_chain(self.root, self.folder), Digests())

    def resume(self) -> Resume | None:
        """The same, as it travels."""
        found = self.choose().found
        return found.to_resume() if found else None

    def begin(
        self, generation: int, volume: Volume = QUICK, *, keep: Iterable[int] = (2, 1), parent: int | None = None
    ) -> DurableCheckpointIO:
        """Claim a generation, and open its door to the disk."""
        resume, (last, best) = self.resume(), keep
        named = (
            ClaimedResume(file=str(Path(resume.file).relative_to(self.root)), step=resume.step, sha256=resume.sha256)
            if resume
            else None
        )
        write_claim(
            self.folder.generations,
            Claim(
                generation=generation,
                parent=generation - 1 if parent is None else parent,
                resume=named,
                pod_uid=str(generation),
                attempt=1,
                world_size=2,
                time=float(generation),
            ),
        )
        kept = Keep(last=last, best=best, resumed=Path(resume.file).name if resume else None)
        facts, patience = make_facts(generation), Patience(next=5.0, last=10.0)
        return DurableCheckpointIO(self.folder, facts, kept, resume, self.told, patience=patience, volume=volume)

    def steps(self) -> list[int]:
        """Steps whose set is there."""
        return sorted(item.manifest.step for item in list_chain(self.root, self.folder))


def save(io: DurableCheckpointIO, checkpoint: dict[str, Any], path: Path) -> bool:
    """Save, and wait until it is durable."""
    io.save_checkpoint(checkpoint, path)
    return io.drain()
