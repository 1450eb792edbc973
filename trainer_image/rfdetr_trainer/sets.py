"""Checkpoint sets: a state and its manifest. Written in that order, verified before anything older goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from pydantic import ValidationError

from rfdetr_contract.names import checkpoint_stem
from rfdetr_trainer.durable import Volume, Written, write_durable, write_file
from rfdetr_trainer.generations import has_newer
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.messages import Sealed
from rfdetr_trainer.resume import hash_file
from rfdetr_trainer.retention import choose_doomed, choose_others, find_orphans, list_line, read_manifests


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
    classes: tuple[str, ...]
    dataset: str
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


class Sets:
    """The sets of one run folder, as one generation writes and prunes them."""

    def __init__(
        self, folder: RunFolder, facts: SetFacts, keep: Keep, volume: Volume, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._keep = keep
        self._volume = volume
        self._clock = clock
        self._newest: str | None = keep.resumed

    def locate(self, moment: Moment) -> Path:
        """Where the state of a moment goes: two moments of one step are two files."""
        stem = checkpoint_stem(self._facts.generation, moment.step, moment.batch_in_epoch)
        return self._folder.checkpoints / f"{stem}.ckpt"

    def is_overtaken(self) -> bool:
        """A newer generation is claimed, which may live on what looks like surplus here."""
        return has_newer(self._folder.generations, self._facts.generation)

    def write(self, tree: Any, moment: Moment, score: float | None, age: Callable[[], float]) -> Manifest:
        """Make a set durable; ``age``: seconds since the save began."""
        target = self.locate(moment)
        written = write_file(self._volume, target, lambda sink: torch.save(tree, cast("IO[bytes]", sink)))
        manifest = self._build_manifest(moment, target.name, written, score, age())
        write_durable(target.with_suffix(".json"), manifest.model_dump_json(indent=1).encode(), self._volume)
        self._newest = target.name
        return manifest

    def verify(self, manifest: Manifest) -> Sealed | None:
        """The set can be read back: its manifest says what was written, and its data is as long as it says; else None."""
        data = self._folder.checkpoints / manifest.file
        try:
            read, facts = Manifest.model_validate_json(data.with_suffix(".json").read_bytes()), data.stat()
        except (OSError, ValidationError):
            return None
        if read != manifest or facts.st_size != manifest.size:
            return None
        return Sealed(file=manifest.file, size=facts.st_size, mtime_ns=facts.st_mtime_ns, inode=facts.st_ino)

    def prune(self) -> None:
        """Remove what nobody needs. What cannot be removed now is surplus next time as well."""
        with contextlib.suppress(OSError):
            if not self.is_overtaken():
                keep, found = self._keep, self.read()
                self._remove(choose_doomed(found, self._facts.generation, keep.last, keep.best, keep.resumed))

    def make_room(self) -> bool:
        """Remove all but the newest set of this line that is whole; whether anything went.

        It is read and hashed: what was seen when it was written says nothing of what has become of it.
        """
        with contextlib.suppress(OSError):
            return not self.is_overtaken() and self._remove(self._choose_all_but_whole()) > 0
        return False

    def read(self) -> tuple[Manifest, ...]:
        """The sets that a resume may go back to."""
        return read_manifests(self._folder.checkpoints)

    def _choose_all_but_whole(self) -> tuple[Manifest, ...]:
        found, generation, resumed = self.read(), self._facts.generation, self._keep.resumed
        line = list_line(found, generation, resumed)
        whole = next((one for one in line if self._is_whole(one)), None)
        return () if whole is None else choose_others(found, generation, whole, resumed)

    def _is_whole(self, manifest: Manifest) -> bool:
        file = self._folder.checkpoints / manifest.file
        return file.is_file() and hash_file(file) == manifest.sha256

    def _remove(self, doomed: tuple[Manifest, ...]) -> int:
        for manifest in doomed:
            file = self._folder.checkpoints / manifest.file
            self._volume.unlink(file.with_suffix(".json"))
            self._volume.unlink(file)
        orphans = find_orphans(self._folder.checkpoints, self._facts.generation)
        for file in orphans:
            self._volume.unlink(file)
        return len(doomed) + len(orphans)

    def _build_manifest(
        self, moment: Moment, file: str, written: Written, score: float | None, seconds: float
    ) -> Manifest:
        facts = self._facts
        return Manifest(
            file=file,
            parent=self._newest,
            generation=facts.generation,
            step=moment.step,
            epoch=moment.epoch,
            batch_in_epoch=moment.batch_in_epoch,
            world_size=facts.world_size,
            accumulation=facts.accumulation,
            effective_batch=facts.effective_batch,
            sha256=written.sha256,
            size=written.size,
            time=self._clock(),
            seconds=round(seconds, 3),
            map50_95=None if moment.batch_in_epoch else score,
            config_hash=facts.config_hash,
            model=facts.model,
            classes=facts.classes,
            dataset=facts.dataset,
            rfdetr=facts.rfdetr,
            torch=facts.torch,
        )
