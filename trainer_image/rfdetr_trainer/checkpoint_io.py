"""Lightning's door to the disk: the training stands still for a copy in memory, the rest happens behind it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pytorch_lightning.plugins.io import CheckpointIO

from rfdetr_contract.report import CheckpointState, FailureReason
from rfdetr_trainer.best import Bests, Candidate, build_limits
from rfdetr_trainer.best_keeper import BestKeeper, log_refusal
from rfdetr_trainer.durable import STORAGE_FAULTS, VOLUME, Volume, publish
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.generations import read_claims
from rfdetr_trainer.interval import Cost
from rfdetr_trainer.loading import load_verified, recount, rescale_batches
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.messages import Sealed
from rfdetr_trainer.resume import Resume
from rfdetr_trainer.retention import find_leftovers
from rfdetr_trainer.sets import Keep, Moment, SetFacts, Sets, build_moment
from rfdetr_trainer.snapshot import Snapshots, is_on_host
from rfdetr_trainer.writer import Work, Writer

logger = logging.getLogger(__name__)

PATIENCE: Final = 60.0  # seconds that a save waits for the one before it, once; a hung volume is not waited for again
SLOWER: Final = 3.0  # the last save may take so many times what the one before it took
Tell = Callable[[CheckpointState | None, RunError | None], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """One save, from its snapshot on."""

    tree: Any
    moment: Moment
    score: float | None
    bests: tuple[Candidate, ...]
    name: Path | None  # a second name that was asked for
    began: float
    stall: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that are waited: for the save before, and for the last one to be durable."""

    next: float = PATIENCE
    last: float = 100.0


class DurableCheckpointIO(CheckpointIO):  # type: ignore[misc]  # Lightning is not type-checked here
    """Every save becomes a durable, named, hashed set. A full, broken or hung volume does not stop the training."""

    def __init__(
        self,
        folder: RunFolder,
        facts: SetFacts,
        keep: Keep,
        resume: Resume | None,
        tell: Tell,
        *,
        pod_uid: str = "",
        patience: Patience | None = None,
        volume: Volume = VOLUME,
        tell_sealed: Callable[[Sealed], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._resume = resume
        self._tell = tell
        self._tell_sealed = tell_sealed  # of each set, once it is hashed and durable
        known = resume.seal if resume else None
        self._seal = known if known is not None and known.pod_uid == pod_uid else None
        self._patience = patience or Patience()
        self._volume = volume
        self._homes = {folder.checkpoints, folder.checkpoints.resolve()}  # asked once: a hung volume does not answer
        self._sets = Sets(folder, facts, keep, volume)
        limits = build_limits(read_claims(folder.generations), facts.generation, resume)
        self.bests = BestKeeper(Bests(folder, facts.generation, limits, volume), volume, resume.epoch if resume else 0)
        self._snapshots = Snapshots()
        self._writer = Writer()
        self._hung = False
        self._asked: Moment | None = None  # of the newest save that was asked for
        self._moment: Moment | None = None  # of the newest one that is on its way or durable
        self._durable: Moment | None = None
        self.is_last = False  # the training ends with the next save: the state cannot change before it is written
        self.score: float | None = None  # mAP 50:95 that the next set's manifest bears
        self.fault: RunError | None = None  # why the newest save failed; None again when a later one succeeds
        self.cost: Cost | None = None  # of the newest durable save
        self.before: list[Work] = []  # done before a set is written, and before anybody leaves
        for leftover in find_leftovers(folder, facts.generation):
            leftover.unlink(missing_ok=True)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Begin to save a set; another path that was asked for gets a second name for it."""
        began, moment, asked = time.monotonic(), build_moment(checkpoint), Path(path)
        name = None if asked.parent in self._homes else asked
        self._asked = moment
        if moment == self._moment:
            if name is not None:
                self._writer.submit(lambda: self._name(moment, name))
            return
        if not self._writer.wait(0 if self._hung else self._patience.next):
            self._hung = True
            self._note(RunError(FailureReason.STORAGE_ERROR, "the volume has not taken the checkpoint before this one"))
            return
        self._hung = False
        score, self.score = self.score, None
        bests = self.bests.take_offered()
        tree = checkpoint if self.is_last and is_on_host(checkpoint) else self._snapshots.take(checkpoint)
        self._moment = moment
        order = Order(tree, moment, score, bests, name, began, time.monotonic() - began)
        self._writer.submit(lambda: self._perform(order))

    def drain(self) -> bool:
        """Wait until nothing is on its way, within limits; whether the newest save is durable."""
        usual = self.cost.seconds if self.cost else 0.0
        for work in self.before:
            self._writer.submit(work)
        if not self._writer.wait(max(self._patience.last, SLOWER * usual)) and self._durable != self._asked:
            self._note(RunError(FailureReason.STORAGE_ERROR, "the volume has not taken the last checkpoint"))
        return self.fault is None and self._durable == self._asked

    def require(self) -> None:
        """Wait until the newest save is durable.

        Raises:
            RunError: it is not, with its reason.

        """
        if not self.drain():
            raise self.fault or RunError(FailureReason.STORAGE_ERROR, "the last checkpoint was not saved")

    def teardown(self) -> None:
        """What is on its way is not left behind."""
        self.drain()

    @property
    def is_busy(self) -> bool:
        """A save is on its way."""
        return not self._writer.is_idle

    def is_overtaken(self) -> bool:
        """A newer generation is claimed."""
        return self._sets.is_overtaken()

    def _perform(self, order: Order) -> None:
        for work in self.before:
            work()
        self.bests.keep(order.tree, order.bests, self._with_room)
        try:
            manifest = self._with_room(
                lambda: self._sets.write(order.tree, order.moment, order.score, lambda: time.monotonic() - order.began)
            )
        except OSError as error:
            self._moment = None
            self._note(name_fault(error))
            return
        sealed = self._sets.verify(manifest)
        if sealed is None:
            self._moment = None
            self._note(RunError(FailureReason.STORAGE_ERROR, "the checkpoint could not be read back"))
            return
        self.fault, self._durable = None, order.moment
        self.cost = Cost(order.stall, time.monotonic() - order.began)
        self._tell(build_state(manifest), None)
        self._tell_sealed(sealed)
        if order.name is not None:
            self._name(order.moment, order.name)
        with log_refusal("what is surplus"):
            self._sets.prune()
            self.bests.prune(self._sets.read())

    def _name(self, moment: Moment, name: Path) -> None:
        """A second name is a service: without it the state is as safe. A newer generation's is left alone."""
        with log_refusal(name.name):
            if self._durable == moment and not self._sets.is_overtaken():
                publish(self._sets.locate(moment), name, self._volume)

    def _with_room(self, write: Callable[[], T]) -> T:
        """On a full volume older sets go, if a newer one is there, and the write is tried once more."""
        try:
            return write()
        except OSError as error:
            full = STORAGE_FAULTS.get(error.errno or 0) is FailureReason.STORAGE_FULL
            if not (full and self._sets.make_room()):
                raise
        return write()

    def _note(self, fault: RunError) -> None:
        if self.fault is None:
            logger.error("checkpoint not saved, training goes on: %s", fault.message)
        self.fault = fault
        self._tell(None, fault)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint that this round resumes from; nothing else is ever loaded here."""
        if self._resume is None or Path(path) != Path(self._resume.file):
            raise RunError(
                FailureReason.CHECKPOINT_CORRUPT, f"checkpoint {Path(path).name} has no digest to check it by"
            )
        checkpoint = load_verified(Path(path), self._resume.sha256, self._seal)
        if self._resume.batch_in_epoch and self._resume.accumulation != self._facts.accumulation:
            recount(checkpoint, rescale_batches(self._resume, self._facts.accumulation))
        return checkpoint

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a second name; sets are pruned by their own policy."""
        if Path(path).parent not in self._homes:
            Path(path).unlink(missing_ok=True)


def name_fault(error: OSError) -> RunError:
    """The volume's fault, for a reader.

    Raises:
        OSError: the error is not the volume's.

    """
    reason = STORAGE_FAULTS.get(error.errno or 0)
    if reason is None:
        raise error
    return RunError(reason, f"the checkpoint could not be saved: {error.strerror}")


def build_state(manifest: Manifest) -> CheckpointState:
    """What is told of a durable set."""
    return CheckpointState.model_validate(
        manifest.model_dump(include={"step", "epoch", "time", "size", "file", "seconds"})
    )
