"""Generations: each rendezvous round is claimed on the output volume before it starts, and names what it goes on from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract._base import Frozen
from rfdetr_contract.report import FailureReason
from rfdetr_trainer.errors import RunError


class ClaimedResume(Frozen):
    """The checkpoint a generation started from; ``file`` is relative to the output root."""

    file: str
    step: int
    sha256: str


class Claim(Frozen):
    """One claimed generation. ``steps_redone`` sums the steps lost to restarts up to this round's start."""

    version: Literal[1] = 1
    generation: int
    parent: int | None
    resume: ClaimedResume | None
    pod_uid: str
    attempt: int
    world_size: int
    steps_redone: int = 0
    time: float  # seconds since 1970


def list_generations(folder: Path) -> tuple[int, ...]:
    """Every number that is taken, torn claims included, ascending."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()))


def read_claims(folder: Path) -> dict[int, Claim]:
    """The readable claims by generation. A torn one never ran: its round is published after it is durable."""
    found: dict[int, Claim] = {}
    for generation in list_generations(folder):
        try:
            found[generation] = Claim.model_validate_json((folder / names.generation_file(generation)).read_bytes())
        except (OSError, ValidationError):
            continue
    return found


def write_claim(folder: Path, claim: Claim) -> bool:
    """Claim a generation durably; False when somebody else has it."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / names.generation_file(claim.generation)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(claim.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return True


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def build_lineage(claims: Mapping[int, Claim]) -> Iterator[Claim]:
    """The newest claim, its parent, and so on. A generation beside this line was overtaken and is no ancestor."""
    generation = max(claims, default=None)
    while generation is not None and generation in claims:
        claim = claims[generation]
        yield claim
        generation = claim.parent if claim.parent is not None and claim.parent < generation else None


def has_newer(folder: Path, generation: int) -> bool:
    """A newer generation is claimed: what has one name for all of them is no longer this one's to write or to remove."""
    return max(list_generations(folder), default=0) > generation


def build_overtaken(generation: int) -> RunError:
    """The end of a launcher or of a rank that came back from the dead."""
    return RunError(FailureReason.OVERTAKEN, f"another pod claimed a newer generation than {generation}")


def is_overtaken(claims: Mapping[int, Claim], generation: int, pod_uid: str) -> bool:
    """Another pod claimed a newer generation than the one given."""
    return any(number > generation and claim.pod_uid != pod_uid for number, claim in claims.items())
