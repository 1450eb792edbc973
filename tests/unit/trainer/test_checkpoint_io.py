"""Durable sets: data, then manifest; a digest before anything is unpickled; a fault that loses nothing."""

from __future__ import annotations

import errno
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from rfdetr_contract.report import FailureReason
from rfdetr_trainer import loading
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO, Patience, Tell
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.loading import load_ahead, load_verified, rescale_batches
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.messages import Sealed
from rfdetr_trainer.resume import Digests, Resume, Seal, scan
from rfdetr_trainer.retention import read_manifests
from rfdetr_trainer.sets import Keep
from saved_run import SavedRun, Told, make_checkpoint, make_facts, save
from torn_volume import Quick


def make_io(
    root: Path,
    told: Tell | None = None,
    *,
    patience: Patience | None = None,
    tell_sealed: Callable[[Sealed], None] = lambda _: None,
    **keep: Any,
) -> DurableCheckpointIO:
    """The plugin of generation 2 over a fresh folder."""
    folder, facts = RunFolder(root), make_facts()
    return DurableCheckpointIO(
        folder, facts, Keep(**keep), None, told or Told(), patience=patience, tell_sealed=tell_sealed
    )


def steps(root: Path) -> list[int]:
    """Optimizer steps of the sets that exist."""
    return sorted(manifest.step for manifest in read_manifests(RunFolder(root).checkpoints))


def test_a_save_becomes_a_file_a_manifest_and_the_name_that_was_asked_for(tmp_path: Path) -> None:
    """RF-DETR's last.ckpt is a second name for the very same data."""
    io, folder = make_io(tmp_path), RunFolder(tmp_path)

    save(io, make_checkpoint(7, epoch=1), folder.rfdetr / "last.ckpt")

    data = folder.checkpoints / "g000002-s00000007.ckpt"
    manifest = Manifest.model_validate_json(data.with_suffix(".json").read_bytes())
    assert (7, 1, 0, 2, data.stat().st_size) == (
        manifest.step,
        manifest.epoch,
        manifest.batch_in_epoch,
        manifest.generation,
        manifest.size,
    )
    assert data.samefile(folder.rfdetr / "last.ckpt")
    assert torch.equal(torch.full((8,), 7.0), load_verified(data, manifest.sha256)["state_dict"]["model.weights"])


def test_a_set_gets_no_second_name_in_its_own_folder_whichever_way_leads_there(tmp_path: Path) -> None:
    """Lightning follows links, and we do not."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "volume")
    io = make_io(tmp_path / "link")
    for step, way in ((1, "link"), (2, "volume")):
        save(io, make_checkpoint(step), tmp_path / way / "checkpoints" / "step.ckpt")

    assert ([1, 2], False) == (steps(tmp_path / "volume"), (tmp_path / "volume/checkpoints/step.ckpt").exists())


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    """Keep the last two and the best one."""
    io, folder = make_io(tmp_path, last=2, best=1), RunFolder(tmp_path)
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.2), (4, 0.3), (5, 0.4)):
        io.score = score
        save(io, make_checkpoint(step), folder.checkpoints / "step.ckpt")

    assert [2, 4, 5] == steps(tmp_path)


def test_an_overtaken_writer_removes_nothing(tmp_path: Path) -> None:
    """A newer generation may live on what looks like surplus."""
    io, folder = make_io(tmp_path, last=1, best=0), RunFolder(tmp_path)
    save(io, make_checkpoint(1), folder.checkpoints / "step.ckpt")
    folder.generations.mkdir()
    (folder.generations / "000003.json").write_text("{}")

    save(io, make_checkpoint(2), folder.checkpoints / "step.ckpt")

    assert [1, 2] == steps(tmp_path)


@pytest.mark.parametrize("damage", ["bit", "page", "torn", "empty"])
def test_damage_is_seen_before_anything_is_unpickled(tmp_path: Path, damage: str) -> None:
    """torch.load takes a flipped bit and a zeroed page without a word; the digest does not."""
    io, folder = make_io(tmp_path), RunFolder(tmp_path)
    save(io, make_checkpoint(1, size=5000), folder.checkpoints / "step.ckpt")
    data = folder.checkpoints / "g000002-s00000001.ckpt"
    content = bytearray(data.read_bytes())
    match damage:
        case "bit":
            content[9000] ^= 1
        case "page":
            content[4096:8192] = bytes(4096)
        case "torn":
            content = content[: len(content) // 2]
        case _:
            content = bytearray()
    data.write_bytes(content)

    with pytest.raises(RunError) as caught:
        load_verified(data, read_manifests(folder.checkpoints)[0].sha256)

    assert FailureReason.CHECKPOINT_CORRUPT is caught.value.reason


def test_a_file_that_this_pod_has_hashed_is_not_hashed_again_and_any_other_is(tmp_path: Path) -> None:
    """A seal names one file as it was; the least change breaks it, and then the digest decides."""
    io, folder = make_io(tmp_path), RunFolder(tmp_path)
    save(io, make_checkpoint(1), folder.checkpoints / "step.ckpt")
    data, digests = folder.checkpoints / "g000002-s00000001.ckpt", Digests()
    found = scan(folder.checkpoints)[0]
    unseen = digests.seal(found, "pod-0")
    assert digests.verify(found)
    seal = digests.seal(found, "pod-0")

    assert (None, 1) == (unseen, load_verified(data, "not even asked", seal)["global_step"])
    data.write_bytes(data.read_bytes())
    with pytest.raises(RunError):
        load_verified(data, "asked now", seal)
    assert digests.seal(found, "pod-0") is None


def test_a_saver_names_the_file_that_it_has_hashed(tmp_path: Path) -> None:
    """The launcher takes its word for that very file, and reads any other."""
    told: list[Sealed] = []
    io, folder = make_io(tmp_path, tell_sealed=told.append), RunFolder(tmp_path)
    save(io, make_checkpoint(1), folder.checkpoints / "step.ckpt")
    (sealed,), found, digests = told, scan(folder.checkpoints)[0], Digests()
    digests.learn(found, sealed.mtime_ns, sealed.inode)

    assert Seal(pod_uid="pod-0", mtime_ns=sealed.mtime_ns, inode=sealed.inode) == digests.seal(found, "pod-0")
    found.path.write_bytes(found.path.read_bytes()[:-1] + b"x")
    assert (None, False) == (digests.seal(found, "pod-0"), digests.verify(found))


def test_a_checkpoint_that_was_read_ahead_is_given_out_once_and_only_for_its_own_seal(tmp_path: Path) -> None:
    """A fork has it ready; a file that has changed since is not what was hashed."""
    io, folder = make_io(tmp_path), RunFolder(tmp_path)
    save(io, make_checkpoint(1), folder.checkpoints / "step.ckpt")
    data, facts = folder.checkpoints / "g000002-s00000001.ckpt", scan(folder.checkpoints)[0].path.stat()
    seal = Seal(pod_uid="pod-0", mtime_ns=facts.st_mtime_ns, inode=facts.st_ino)

    load_ahead(data, seal)
    ready = loading.ahead[0][2]
    first, second = (load_verified(data, "not even asked", seal) for _ in range(2))
    load_ahead(data, seal.model_copy(update={"inode": 1}))
    changed = list(loading.ahead)
    load_ahead(data, seal)
    load_ahead(None, None)

    assert (True, False, 1) == (first is ready, second is ready, second["global_step"])
    assert ([], []) == (changed, loading.ahead)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 64 KiB: the volume is full."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_volume_that_refuses_does_not_stop_the_training(tmp_path: Path, small_files: None) -> None:
    """The last good set stays, nothing half-written is left, the fault is told; a later save mends it."""
    told = Told()
    io, folder = make_io(tmp_path, told, last=1, best=0), RunFolder(tmp_path)
    save(io, make_checkpoint(1), folder.checkpoints / "step.ckpt")

    save(io, make_checkpoint(2, size=100_000), folder.checkpoints / "step.ckpt")

    fault = io.fault
    assert ([1], [FailureReason.STORAGE_FULL], ["g000002-s00000001.ckpt", "g000002-s00000001.json"]) == (
        steps(tmp_path),
        told.faults,
        sorted(path.name for path in folder.checkpoints.iterdir()),
    )
    assert fault is not None
    save(io, make_checkpoint(3), folder.checkpoints / "step.ckpt")
    assert (None, [3]) == (io.fault, steps(tmp_path))


@dataclass
class StuckVolume(Quick):
    """A volume that answers no fsync until it is let go."""

    gate: threading.Event = field(default_factory=threading.Event)

    def fsync(self, descriptor: int) -> None:
        self.gate.wait()


def test_a_hung_volume_is_waited_for_once_and_the_training_goes_on(tmp_path: Path) -> None:
    """The save that hangs is told of; once the volume answers again, so does everything else."""
    told, volume, folder = Told(), StuckVolume(), RunFolder(tmp_path)
    short = Patience(next=0.05, last=0.05)
    io = DurableCheckpointIO(folder, make_facts(), Keep(), None, told, patience=short, volume=volume)
    target = folder.checkpoints / "step.ckpt"
    for step in (1, 2, 3):
        io.save_checkpoint(make_checkpoint(step), target)
    left = io.drain()
    volume.gate.set()

    assert (False, {FailureReason.STORAGE_ERROR}, []) == (left, set(told.faults), [state.step for state in told.states])
    while io.is_busy:
        time.sleep(0.01)
    assert (None, False) == (io.fault, io.drain())  # the first save came through; the newest one was never begun
    with pytest.raises(RunError, match="the last checkpoint was not saved"):
        io.require()
    assert (True, [1, 4]) == (save(io, make_checkpoint(4), target), steps(tmp_path))


def test_the_last_save_writes_the_state_itself(tmp_path: Path) -> None:
    """Whoever leaves stands still until it is durable: no memory is taken for a copy."""
    io, folder = make_io(tmp_path), RunFolder(tmp_path)
    io.is_last = True
    save(io, make_checkpoint(7), folder.checkpoints / "step.ckpt")
    (manifest,) = read_manifests(folder.checkpoints)

    loaded = load_verified(folder.checkpoints / manifest.file, manifest.sha256)

    assert torch.equal(torch.full((8,), 7.0), loaded["state_dict"]["model.weights"])
    assert 0 == io._snapshots.size


def test_the_same_moment_is_saved_once(tmp_path: Path) -> None:
    """A signal right after a save waits for that save."""
    told = Told()
    io, folder = make_io(tmp_path, told), RunFolder(tmp_path)
    io.save_checkpoint(make_checkpoint(7, batches=3), folder.checkpoints / "step.ckpt")

    assert save(io, make_checkpoint(7, batches=3), folder.checkpoints / "step.ckpt")
    assert [7] == [state.step for state in told.states]


def test_an_epochs_end_does_not_replace_the_last_step_before_it(tmp_path: Path) -> None:
    """Both are of one step: while one is replaced by the other, neither would be whole."""
    run = SavedRun(tmp_path)
    io = run.begin(1)
    save(io, make_checkpoint(7, batches=3), run.folder.checkpoints / "step.ckpt")
    save(io, make_checkpoint(7, epoch=1), run.folder.checkpoints / "step.ckpt")
    found = run.choose().found

    assert (("g000001-s00000007.ckpt", "g000001-s00000007-b000003.ckpt"), 2) == (
        found and (found.path.name, found.manifest.parent),
        len(run.steps()),
    )


def test_no_thread_begins_before_the_first_save(tmp_path: Path) -> None:
    """A fork server may build all of this: it stays a process of one thread."""
    before = set(threading.enumerate())
    make_io(tmp_path)

    assert set(threading.enumerate()) <= before


def test_a_fault_that_is_not_the_volumes_is_not_hidden(tmp_path: Path) -> None:
    """A folder that is a file is a mistake, not a full disk."""
    folder = RunFolder(tmp_path)
    folder.checkpoints.write_text("in the way")
    io = make_io(tmp_path)

    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
        save(io, make_checkpoint(1), folder.rfdetr / "last.ckpt")

    assert caught.value.errno in {errno.EEXIST, errno.ENOTDIR}


def test_another_plan_counts_the_same_optimizer_steps() -> None:
    """Six batches at accumulation 2 are three steps: twelve batches at accumulation 4."""
    resume = Resume(file="/o/c", sha256="0", size=1, step=3, epoch=0, batch_in_epoch=6, accumulation=2, world_size=2)

    assert 12 == rescale_batches(resume, 4)
