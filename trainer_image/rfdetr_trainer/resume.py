"""What a round resumes from: the newest checkpoint along the chain of generations whose digest matches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from rfdetr_contract._base import Frozen
from rfdetr_contract.report import FailureReason
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import ConfigError, RunError
from rfdetr_trainer.fingerprint import DatasetFacts
from rfdetr_trainer.foreign import read_foreign
from rfdetr_trainer.generations import Claim, build_lineage, read_claims
from rfdetr_trainer.manifest import Manifest, RunFolder, build_model_line
from rfdetr_trainer.misfit import describe_change, refuse_misfit

CHUNK = 4 * 1024 * 1024


class Seal(Frozen):
    """The very file that one pod's launcher has hashed: valid in that pod, as long as the file is the same."""

    pod_uid: str
    mtime_ns: int
    inode: int


class Resume(Frozen):
    """A checkpoint whose digest was seen to match: an absolute path below the output root, and what it holds."""

    file: str  # absolute path; every node mounts the output root at the same place
    sha256: str
    size: int
    step: int
    epoch: int
    batch_in_epoch: int
    accumulation: int = 1
    world_size: int
    seal: Seal | None = None
    dataset: str = ""  # fingerprint of the data set that is trained on now; empty: not known


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest and where its checkpoint should be."""

    path: Path
    manifest: Manifest

    def to_resume(self, seal: Seal | None = None, dataset: str = "") -> Resume:
        """The same, as it travels to the workers."""
        kept = {"sha256", "size", "step", "epoch", "batch_in_epoch", "accumulation", "world_size"}
        fields = self.manifest.model_dump(include=kept)
        return Resume(file=str(self.path), seal=seal, dataset=dataset, **fields)


@dataclass(frozen=True, slots=True)
class Choice:
    """The checkpoint to resume from (None: from the start), and what a reader of the log should know of it."""

    found: Found | None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Digests:
    """Digests by what identifies a file's content, so that an unchanged file is read once in a launcher's life."""

    _known: dict[tuple[str, int, int, int], str] = field(default_factory=dict)

    def verify(self, found: Found) -> bool:
        """The data is there, whole, and what its manifest says."""
        try:
            return found.path.stat().st_size == found.manifest.size and self.take(found.path) == found.manifest.sha256
        except OSError:
            return False

    def take(self, path: Path) -> str:
        """The digest of a file."""
        facts = path.stat()
        key = (str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino)
        if key not in self._known:
            self._known[key] = hash_file(path)
        return self._known[key]

    def learn(self, found: Found, mtime_ns: int, inode: int) -> None:
        """A process of this pod has hashed the file while it wrote it: not read again, as long as it is that file."""
        self._known[str(found.path), found.manifest.size, mtime_ns, inode] = found.manifest.sha256

    def seal(self, found: Found, pod_uid: str) -> Seal | None:
        """What identifies a file that was seen to match; None when it is no longer that file."""
        return self.seal_file(found.path, found.manifest.sha256, pod_uid)

    def seal_file(self, path: Path, sha256: str, pod_uid: str) -> Seal | None:
        """The same for a file and the digest that it should have."""
        try:
            facts = path.stat()
        except OSError:
            return None
        if self._known.get((str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino)) != sha256:
            return None
        return Seal(pod_uid=pod_uid, mtime_ns=facts.st_mtime_ns, inode=facts.st_ino)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def read_found(manifest_path: Path) -> Found | None:
    """The checkpoint of one manifest file; None when there is no such manifest or it cannot be read."""
    try:
        manifest = Manifest.model_validate_json(manifest_path.read_bytes())
    except (OSError, ValidationError):
        return None
    return Found(manifest_path.with_name(PurePosixPath(manifest.file).name), manifest)


def scan(folder: Path) -> tuple[Found, ...]:
    """All readable manifests of a checkpoint folder, newest first."""
    found = [item for path in folder.glob("*.json") if (item := read_found(path)) is not None]
    return tuple(sorted(found, key=lambda item: item.manifest.place, reverse=True))


def list_chain(output_root: Path, folder: RunFolder) -> tuple[Found, ...]:
    """What the newest generation may go on from, best first.

    A child bounds its parent: what an overtaken generation wrote after the child had chosen is never taken.
    """
    seen: dict[Path, Found] = {}
    claims = read_claims(folder.generations)
    for item in _walk(output_root, folder, scan(folder.checkpoints), tuple(build_lineage(claims))):
        seen.setdefault(item.path, item)
    return tuple(seen.values())


def _walk(output_root: Path, folder: RunFolder, own: tuple[Found, ...], lineage: tuple[Claim, ...]) -> Iterator[Found]:
    limit: int | None = None
    for claim in lineage:
        for item in own:
            if item.manifest.generation == claim.generation and (limit is None or item.manifest.step < limit):
                yield item
        if claim.resume is None:
            return
        path = output_root / claim.resume.file
        recorded = read_found(path.with_suffix(".json"))
        if recorded is not None:
            yield recorded
        if path.parent != folder.checkpoints:
            return
        limit = claim.resume.step


def choose_valid(candidates: tuple[Found, ...], digests: Digests) -> Choice:
    """The first candidate whose digest matches, with a note for each one that was passed over."""
    notes: list[str] = []
    for item in candidates:
        if digests.verify(item):
            return Choice(item, tuple(notes))
        notes.append(f"checkpoint {item.path.name} is missing or does not match its digest; trying the one before it")
    return Choice(None, tuple(notes))


def choose_resume(output_root: Path, run: RunConfig, facts: DatasetFacts | None, digests: Digests) -> Choice:
    """The job's own work first; without any, what ``resume.from`` names. What is chosen fits the job.

    Raises:
        RunError: checkpoints are there but none is whole, or the source cannot be used or does not fit.

    """
    model = build_model_line(run.model, len(facts.classes) if facts else run.model.num_classes)
    choice = _choose(output_root, run, model, digests)
    if choice.found is None:
        return choice
    refuse_misfit(choice.found.manifest, run, model, facts)
    return Choice(choice.found, (*choice.notes, *describe_change(choice.found.manifest, run, facts)))


def _choose(output_root: Path, run: RunConfig, model: str, digests: Digests) -> Choice:
    own = list_chain(output_root, RunFolder.of(output_root, run))
    if own:
        choice = choose_valid(own, digests)
        if choice.found is None:
            raise RunError(
                FailureReason.CHECKPOINT_CORRUPT,
                f"none of the {len(own)} checkpoints in {run.output}/checkpoints matches its digest",
            )
        return choice
    if run.resume.source in {"auto", "never"}:
        return Choice(None)
    if run.resume.source == "previous":
        return choose_previous(output_root, run, model, digests)
    return choose_named(output_root, run, digests)


def choose_previous(output_root: Path, run: RunConfig, model: str, digests: Digests) -> Choice:
    """The newest checkpoint of another job of this name whose model is the same."""
    mine = RunFolder.of(output_root, run).root
    others = [path for path in mine.parent.glob("*") if path.is_dir() and path.name != mine.name]
    choices = [choose_valid(list_chain(output_root, RunFolder(path)), digests) for path in others]
    usable = [
        choice.found for choice in choices if choice.found is not None and is_same_model(choice.found.manifest, model)
    ]
    if usable:
        return Choice(max(usable, key=lambda found: found.manifest.time))
    place = PurePosixPath(run.output).parent
    note = f"resume.from: previous: {place} holds no earlier run of model '{model}' with a whole checkpoint; starting fresh"
    return Choice(None, (note,))


def is_same_model(manifest: Manifest, model: str) -> bool:
    """The manifest's model line is the given one; a line given without a class count agrees with every count."""
    return manifest.model == model or manifest.model.startswith(f"{model} ")


def choose_named(output_root: Path, run: RunConfig, digests: Digests) -> Choice:
    """The checkpoint file, or the newest whole one of the run folder, at a path below the output root."""
    source = run.resume.source
    path = _below(output_root, source)
    if path.is_dir():
        candidates = list_chain(output_root, RunFolder(path))
        if not candidates:
            raise ConfigError(f"resume.from: '{source}' holds no checkpoint with a manifest")
        choice = choose_valid(candidates, digests)
    else:
        found = read_found(path.with_suffix(".json"))
        if found is None or found.path != path:
            return Choice(import_foreign(output_root, run, path, digests))
        choice = choose_valid((found,), digests)
    if choice.found is None:
        raise RunError(
            FailureReason.CHECKPOINT_CORRUPT, f"resume.from: '{source}' does not match its manifest's digest"
        )
    return choice


def import_foreign(output_root: Path, run: RunConfig, path: Path, digests: Digests) -> Found:
    """A checkpoint that RF-DETR wrote without us. It has no digest until it is first seen; then it must keep it.

    Raises:
        ConfigError: the file is no full checkpoint of RF-DETR.
        RunError: it is not the file that this job has begun from.

    """
    manifest = read_foreign(path, digests.take(path))
    begun = {
        claim.resume.sha256
        for claim in read_claims(RunFolder.of(output_root, run).generations).values()
        if claim.resume is not None and output_root / claim.resume.file == path
    }
    if begun and manifest.sha256 not in begun:
        raise RunError(
            FailureReason.CHECKPOINT_CORRUPT, f"resume.from: '{run.resume.source}' has changed since this job began"
        )
    return Found(path, manifest)


def _below(output_root: Path, source: str) -> Path:
    relative = PurePosixPath(source)
    if relative.is_absolute() or ".." in relative.parts:
        raise ConfigError(f"resume.from: '{source}' must be auto, never, previous or a path below the output volume")
    path = output_root / relative
    if not path.exists():
        raise ConfigError(f"resume.from: '{source}' is not on the output volume")
    if not path.resolve().is_relative_to(output_root.resolve()):
        raise ConfigError(f"resume.from: '{source}' leads out of the output volume")
    return path
