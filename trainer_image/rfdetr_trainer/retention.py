"""Which checkpoint sets stay: the newest, the best, what this round came from, and all of a newer generation."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_trainer.manifest import Manifest, RunFolder


def read_manifests(folder: Path) -> tuple[Manifest, ...]:
    """The readable manifests of a folder."""
    found = []
    for path in sorted(folder.glob("g*.json")):
        try:
            found.append(Manifest.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return tuple(found)


def choose_doomed(
    manifests: Iterable[Manifest], generation: int, last: int, best: int, resumed: str | None
) -> tuple[Manifest, ...]:
    """The sets to delete, oldest first. What this round resumed from stays until ``last`` newer ones are durable."""
    ours = sorted(
        (one for one in manifests if one.generation <= generation),
        key=lambda one: one.place,
    )
    newest = ours[len(ours) - max(last, 1) :]
    scored = sorted((one for one in ours if one.map50_95 is not None), key=lambda one: (one.map50_95 or 0.0, one.step))
    kept = {one.file for one in newest} | {one.file for one in scored[len(scored) - best :] if best}
    own = sum(1 for one in ours if one.generation == generation)
    if resumed is not None and own < max(last, 1):
        kept.add(resumed)
    return tuple(one for one in ours if one.file not in kept)


def list_line(manifests: Iterable[Manifest], generation: int, resumed: str | None) -> tuple[Manifest, ...]:
    """What a resume would go back to, newest first: this round's own, what it came from, and what is older than that."""
    found = tuple(manifests)
    origin = next((one.place for one in found if one.file == resumed), None)
    line = [one for one in found if one.generation <= generation]
    if origin is not None:
        line = [one for one in line if one.generation == generation or one.place <= origin]
    return tuple(sorted(line, key=lambda one: one.place, reverse=True))


def choose_others(
    manifests: Iterable[Manifest], generation: int, whole: Manifest, resumed: str | None
) -> tuple[Manifest, ...]:
    """All but one whole set, oldest first. What this round resumed from stays as long as that one is no newer."""
    kept = {whole.file} if whole.generation == generation else {whole.file, resumed}
    others = [one for one in manifests if one.generation <= generation and one.file not in kept]
    return tuple(sorted(others, key=lambda one: one.place))


def find_orphans(folder: Path, generation: int) -> tuple[Path, ...]:
    """States of earlier generations without a manifest: their writer, or whoever removed them, died in between."""
    found = [path for path in folder.glob("g*.ckpt") if path.name.partition("-")[0] < name_mark(generation)]
    return tuple(path for path in found if not path.with_suffix(".json").exists())


def find_leftovers(folder: RunFolder, generation: int) -> tuple[Path, ...]:
    """Unfinished files of writers that are gone or overtaken: another host's (its pod was replaced), a dead process's, and
    an earlier generation's (a new pod may have its name and its numbers).
    """
    mark = f".{name_mark(generation)}"
    places = (folder.checkpoints, folder.best, folder.rfdetr)
    found = [path for place in places for path in place.glob(".*.tmp-*")]
    return tuple(
        path
        for path in found
        if not _is_alive(path.name.rpartition(".tmp-")[2])
        or (path.name.startswith(".g") and path.name.partition("-")[0] < mark)
    )


def name_mark(generation: int) -> str:
    """How the names of a generation's files begin: in the order of the generations."""
    return names.checkpoint_stem(generation, 0).partition("-")[0]


def _is_alive(writer: str) -> bool:
    host, _, pid = writer.rpartition("-")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
