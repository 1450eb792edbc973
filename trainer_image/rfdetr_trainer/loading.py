"""Nothing of a file is unpickled before its digest was seen to match, and then only tensors and plain types."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rfdetr_contract.report import FailureReason
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.resume import Resume, Seal

ahead: list[tuple[Path, Seal, dict[str, Any]]] = []  # at most one: of this process, and of those forked from it


def load_ahead(path: Path | None, seal: Seal | None) -> None:
    """Called in the fork server: unpickle what its launcher has hashed; the tensors stay in the file, mapped.

    None lets go of the file: one that is mapped takes its place on the volume even after it was pruned.
    """
    ahead.clear()
    if path is None or seal is None:
        return
    with path.open("rb") as file:
        if is_sealed(os.fstat(file.fileno()), seal):
            ahead[:] = [(path, seal, load_mapped(file))]


def load_mapped(file: BinaryIO) -> dict[str, Any]:
    """A checkpoint whose tensors are the file's own pages, copied where they are written to."""
    place = f"/proc/self/fd/{file.fileno()}"
    loaded: dict[str, Any] = torch.load(place, map_location="cpu", weights_only=True, mmap=True)
    return loaded


def load_verified(path: Path, sha256: str, seal: Seal | None = None) -> dict[str, Any]:
    """Read a checkpoint once.

    ``seal``: this pod's launcher has hashed this very file, and it is still that file: it is not hashed again.

    Raises:
        RunError: the digest is another one.

    """
    with path.open("rb") as file:
        if seal is not None and is_sealed(os.fstat(file.fileno()), seal):
            if ahead and ahead[0][:2] == (path, seal):
                return ahead.pop()[2]
            return load_mapped(file)  # this pod has just hashed it, and a round's own origin is never pruned
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
