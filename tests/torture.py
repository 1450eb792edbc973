"""What a checkpoint folder goes through: a crash at each call of a scenario, and each kind of damage."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rfdetr_trainer.checkpoint_io import DurableCheckpointIO
from rfdetr_trainer.loading import load_verified
from saved_run import SavedRun, make_candidate, make_checkpoint, save
from torn_volume import Crash, Death, TornVolume

DAMAGES = ("bit", "page", "head", "tail", "cut", "empty")  # of a file's content
OTHERS = ("gone", "manifest")  # of what is around it


def spoil(content: bytearray, kind: str) -> bytearray:
    """A file's content with one kind of damage; a bit and a page are damaged where the tensors are."""
    middle, page = len(content) // 4, min(4096, len(content) // 8)
    match kind:
        case "bit":
            content[middle] ^= 1
        case "page":
            content[middle : middle + page] = wipe(content[middle : middle + page])
        case "head":
            content[:page] = wipe(content[:page])
        case "tail":
            content[-page:] = wipe(content[-page:])
        case "cut":
            del content[middle:]
        case _:
            content.clear()
    return content


def wipe(page: bytearray) -> bytes:
    """Zeros, or something else where there were zeros."""
    return bytes(len(page)) if any(page) else b"\1" * len(page)


def damage(file: Path, kind: str) -> None:
    """One kind of damage to a set."""
    if kind == "gone":
        file.unlink()
    elif kind == "manifest":
        file.with_suffix(".json").write_text("{")
    else:
        file.write_bytes(spoil(bytearray(file.read_bytes()), kind))


def save_epochs(io: DurableCheckpointIO, run: SavedRun, epochs: int = 3) -> None:
    """Two saves an epoch, one of them within it; each epoch's end is a new best."""
    for epoch in range(1, epochs + 1):
        save(io, make_checkpoint(2 * epoch - 1, epoch=epoch - 1, batches=2), run.folder.checkpoints / "step.ckpt")
        io.bests.offer([make_candidate(2 * epoch, epoch=epoch, score=epoch / 10)])
        io.score = epoch / 10
        save(io, make_checkpoint(2 * epoch, epoch=epoch), run.folder.rfdetr / "last.ckpt")


def count_calls(root: Path) -> int:
    """System calls of the whole scenario."""
    run, volume = SavedRun(root), TornVolume(root / "attic")
    save_epochs(run.begin(1, volume), run, epochs=2)
    return len(volume.calls)


def crash(root: Path, dies_at: int, death: Death) -> SavedRun:
    """The scenario, ended by a crash at one call; what the next process finds."""
    run, volume = SavedRun(root), TornVolume(root / "attic", dies_at, death)
    with contextlib.suppress(Crash):
        save_epochs(run.begin(1, volume), run, epochs=2)
    volume.lose()
    return run


def read_acknowledged(run: SavedRun) -> int:
    """The newest step that was said to be durable."""
    return max((state.step for state in run.told.states), default=0)


def check_crash(root: Path, dies_at: int, death: Death) -> list[str]:
    """What is wrong after a crash at one call: nothing."""
    run = crash(root, dies_at, death)
    found, acknowledged = run.choose().found, read_acknowledged(run)
    step = found.manifest.step if found else 0
    wrong = [] if step >= acknowledged else [f"{dies_at} {death}: step {step}, told {acknowledged}"]
    if found is not None:
        load_verified(found.path, found.manifest.sha256)
    io = run.begin(2)
    scores = io.bests.settle()
    io.bests.settle_total("ema")
    known = (found.manifest.epoch if found else 0) / 10
    if (scores["ema"] or 0.0) != known:
        wrong.append(f"{dies_at} {death}: best {scores['ema']}, state of {known}")
    for number in (1, 2, 3):
        assert save(io, make_checkpoint(step + number, epoch=9), run.folder.rfdetr / "last.ckpt")
    left = sorted(path.name for path in run.folder.checkpoints.iterdir())
    expected = [f"g000002-s{step + number:08d}.{end}" for number in (2, 3) for end in ("ckpt", "json")]
    surplus = [name for name in left if name not in expected and not name.startswith("g000001")]
    return [*wrong, *(f"{dies_at} {death}: {name} is left" for name in surplus)]
