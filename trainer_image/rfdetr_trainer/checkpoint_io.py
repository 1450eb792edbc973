"""A checkpoint exists only when its manifest does: every save of Lightning becomes a durable, named, hashed set."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from rfdetr_contract.names import checkpoint_stem
from rfdetr_contract.report import CheckpointState, FailureReason
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.resume import Resume, Seal
from rfdetr_trainer.retention import choose_doomed, find_leftovers, read_manifests

logger = logging.getLogger(__name__)

STORAGE_FAULTS: Final = {
    errno.ENOSPC: FailureReason.STORAGE_FULL,
    errno.EFBIG: FailureReason.STORAGE_FULL,
    errno.EDQUOT: FailureReason.STORAGE_FULL,
    errno.EIO: FailureReason.STORAGE_ERROR,
    errno.EROFS: FailureReason.STORAGE_ERROR,
    errno.ESTALE: FailureReason.STORAGE_ERROR,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in the training a checkpoint stands; ``batch_in_epoch`` is 0 at an epoch's end."""

    step: int
    epoch: int
    batch_in_epoch: int


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What the manifests of one round have in common."""

    generation: int
    world_size: int
    accumulation: int
    effective_batch: int
    config_hash: str
    model: str
    rfdetr: str
    torch: str


@dataclass(frozen=True, slots=True)
class Keep:
    """How many sets stay, and the file that this round came from."""

    last: int = 2
    best: int = 1
    resumed: str | None = None


def build_moment(checkpoint: Mapping[str, Any]) -> Moment:
    """The moment that a Lightning checkpoint was taken at."""
    loop = checkpoint["loops"]["fit_loop"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
    inside = epochs["processed"] < epochs["started"]
    return Moment(int(checkpoint["global_step"]), int(epochs["processed"]), int(batches["ready"]) if inside else 0)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def name_temporary(target: Path) -> Path:
    """The name of the unfinished file beside its target: it says which process of which host writes it."""
    return target.with_name(f".{target.name}.tmp-{socket.gethostname()}-{os.getpid()}")


def write_durable(target: Path, data: memoryview | bytes) -> str:
    """Write, fsync, rename and fsync the folder; the digest is taken on the way. Nothing is left behind on a fault."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = name_temporary(target)
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for start in range(0, len(data), 1 << 22):
                piece = data[start : start + (1 << 22)]
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def publish(source: Path, target: Path) -> None:
    """Give a finished file a second name, atomically: a hard link, or a copy where links are not to be had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = name_temporary(target)
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno in STORAGE_FAULTS:
                raise
            shutil.copyfile(source, temporary)
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def load_verified(path: Path, sha256: str, seal: Seal | None = None) -> dict[str, Any]:
    """Read a checkpoint once; nothing of it is unpickled before its digest was seen to match.

    ``seal``: this pod's launcher has hashed this very file, and it is still that file: it is not hashed again.

    Raises:
        RunError: the digest is another one.

    """
    with path.open("rb") as file:
        if seal is not None and is_sealed(os.fstat(file.fileno()), seal):
            sealed: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return sealed
        data = file.read()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RunError(FailureReason.CHECKPOINT_CORRUPT, f"checkpoint {path.name} is not what its manifest says")
    loaded: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return loaded


def is_sealed(facts: os.stat_result, seal: Seal) -> bool:
    """The open file is the one that was hashed, unchanged since."""
    return (facts.st_mtime_ns, facts.st_ino) == (seal.mtime_ns, seal.inode)


def rescale_batches(resume: Resume, accumulation: int) -> int:
    """Batches of the running epoch that are trained, counted by another plan: its optimizer steps stay the same."""
    return resume.batch_in_epoch // resume.accumulation * accumulation


def recount(checkpoint: dict[str, Any], batches: int) -> None:
    """Set Lightning's own count of the running epoch's batches."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    progress.update(dict.fromkeys(("ready", "started", "processed", "completed"), batches))


class DurableCheckpointIO(CheckpointIO):  # type: ignore[misc]  # Lightning is not type-checked here
    """Lightning's door to the disk. A full or broken disk does not stop the training; the last good set stays."""

    def __init__(
        self,
        folder: RunFolder,
        facts: SetFacts,
        keep: Keep,
        resume: Resume | None,
        tell: Callable[[CheckpointState | None, str], None],
        pod_uid: str = "",
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._keep = keep
        self._resume = resume
        self._tell = tell
        seal = resume.seal if resume else None
        self._seal = seal if seal is not None and seal.pod_uid == pod_uid else None
        self._saved: tuple[Moment, Path] | None = None
        self.score: float | None = None  # mAP 50:95 that the next set's manifest bears
        self.fault: RunError | None = None  # why the newest save failed; None again when a later one succeeds
        for leftover in find_leftovers(folder):
            leftover.unlink(missing_ok=True)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save a set; another path that was asked for gets a second name for it."""
        try:
            self._save(checkpoint, Path(path))
        except OSError as error:
            reason = STORAGE_FAULTS.get(error.errno or 0)
            if reason is None:
                raise
            if self.fault is None:
                logger.error("checkpoint not saved, training goes on: %s", error.strerror)  # noqa: TRY400
            self.fault = RunError(reason, f"the checkpoint could not be saved: {error.strerror}")
            self._tell(None, self.fault.message)

    def _save(self, checkpoint: dict[str, Any], path: Path) -> None:
        started = time.monotonic()
        moment = build_moment(checkpoint)
        target = self._folder.checkpoints / f"{checkpoint_stem(self._facts.generation, moment.step)}.ckpt"
        if self._saved != (moment, target):
            buffer = io.BytesIO()
            torch.save(checkpoint, buffer)
            size = buffer.getbuffer().nbytes
            digest = write_durable(target, buffer.getbuffer())
            manifest = self._build_manifest(moment, target.name, digest, size, time.monotonic() - started)
            write_durable(target.with_suffix(".json"), manifest.model_dump_json(indent=1).encode())
            self._saved = (moment, target)
            self._tell(self._build_state(manifest), "")
            with contextlib.suppress(OSError):  # what could not be removed now is surplus next time as well
                self._prune()
        self.fault = None
        if path.parent.resolve() != self._folder.checkpoints.resolve():
            publish(target, path)

    def _build_manifest(self, moment: Moment, file: str, digest: str, size: int, seconds: float) -> Manifest:
        facts = self._facts
        return Manifest(
            file=file,
            generation=facts.generation,
            step=moment.step,
            epoch=moment.epoch,
            batch_in_epoch=moment.batch_in_epoch,
            world_size=facts.world_size,
            accumulation=facts.accumulation,
            effective_batch=facts.effective_batch,
            sha256=digest,
            size=size,
            time=time.time(),
            seconds=round(seconds, 3),
            map50_95=self.score,
            config_hash=facts.config_hash,
            model=facts.model,
            rfdetr=facts.rfdetr,
            torch=facts.torch,
        )

    @staticmethod
    def _build_state(manifest: Manifest) -> CheckpointState:
        return CheckpointState.model_validate(
            manifest.model_dump(include={"step", "epoch", "time", "size", "file", "seconds"})
        )

    def _prune(self) -> None:
        """An overtaken writer removes nothing: a newer generation may live on what looks like surplus."""
        claims = [path.stem for path in self._folder.generations.glob("*.json")]
        if any(claim.isdigit() and int(claim) > self._facts.generation for claim in claims):
            return
        manifests = read_manifests(self._folder.checkpoints)
        for manifest in choose_doomed(
            manifests, self._facts.generation, self._keep.last, self._keep.best, self._keep.resumed
        ):
            file = self._folder.checkpoints / manifest.file
            file.with_suffix(".json").unlink(missing_ok=True)
            file.unlink(missing_ok=True)

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
        if Path(path).parent.resolve() != self._folder.checkpoints.resolve():
            Path(path).unlink(missing_ok=True)
