"""The checkpoint folder under a crash at every single call, under damage, and under a volume that refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfdetr_contract.report import FailureReason
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO
from rfdetr_trainer.loading import load_verified
from rfdetr_trainer.resume import scan
from rfdetr_trainer.retention import read_manifests
from saved_run import SavedRun, make_candidate, make_checkpoint, save
from torn_volume import BrokenVolume, Crash, Death, FullVolume, TornVolume
from torture import DAMAGES, OTHERS, check_crash, count_calls, damage, read_acknowledged, save_epochs


@pytest.mark.parametrize("death", ["process", "power"])
def test_a_crash_at_any_call_loses_nothing_that_was_told(tmp_path: Path, death: Death) -> None:
    """The next round finds a whole set at least as new as the last one that was told, and goes on writing."""
    calls = count_calls(tmp_path / "whole")
    wrong = [line for call in range(calls) for line in check_crash(tmp_path / str(call), call, death)]

    assert calls > 100
    assert [] == wrong


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, FailureReason.STORAGE_FULL),
        (errno.EDQUOT, FailureReason.STORAGE_FULL),
        (errno.EIO, FailureReason.STORAGE_ERROR),
        (errno.EROFS, FailureReason.STORAGE_ERROR),
        (errno.ESTALE, FailureReason.STORAGE_ERROR),
    ],
)
def test_a_fault_is_told_and_mended_by_the_next_save(
    tmp_path: Path, call: str, number: int, reason: FailureReason
) -> None:
    """Whichever call is refused: the set before stays, nothing half-written is left."""
    volume, run = BrokenVolume(call, None), SavedRun(tmp_path)
    io = run.begin(1, volume)
    target = run.folder.checkpoints / "step.ckpt"
    save(io, make_checkpoint(1), target)
    volume.number = number
    io.bests.offer([make_candidate(2)])
    refused = save(io, make_checkpoint(2, epoch=1), target)
    left, fault = run.steps(), io.fault
    hidden = [path.name for path in run.folder.root.rglob(".*")]
    volume.number = None

    assert (False, [1], [reason], []) == (refused, left, run.told.faults, hidden)
    assert fault is not None
    assert reason is fault.reason
    assert (True, frozenset({"ema"}), None) == (save(io, make_checkpoint(3), target), io.bests.take_lost(), io.fault)


@pytest.mark.parametrize("room", range(0, 12_000, 487))
def test_a_full_volume_makes_room_or_keeps_what_it_has(tmp_path: Path, room: int) -> None:
    """Wherever the bytes end: a resume finds a set, never an older one than was told."""
    run = SavedRun(tmp_path)
    io = run.begin(1, FullVolume(room, tmp_path))
    save_epochs(io, run)
    found = run.choose().found

    assert read_acknowledged(run) == (found.manifest.step if found else 0)
    assert (io.fault is None) == (found is not None and found.manifest.step == 6)


def test_older_sets_make_room_for_a_new_one(tmp_path: Path) -> None:
    """Two sets fit: with one of them gone, a third is written, and the newest good one was there all the while."""
    run, volume = SavedRun(tmp_path), FullVolume(1 << 30, tmp_path)
    io = run.begin(1, volume, keep=(2, 0))
    target = run.folder.checkpoints / "step.ckpt"
    save(io, make_checkpoint(1), target)
    save(io, make_checkpoint(2), target)
    volume.size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) + 100

    assert (True, [2, 3], []) == (save(io, make_checkpoint(3), target), run.steps(), run.told.faults)


@pytest.mark.parametrize("kind", ["bit", "page", "head", "tail"])
def test_a_full_volume_costs_no_whole_set_for_one_that_is_damaged(tmp_path: Path, kind: str) -> None:
    """Nothing but its content tells of the newest: it is the one that goes, and the one before it stays."""
    run, volume = SavedRun(tmp_path), FullVolume(1 << 30, tmp_path)
    io, target = run.begin(1, volume, keep=(2, 0)), run.folder.checkpoints / "step.ckpt"
    save(io, make_checkpoint(1), target)
    save(io, make_checkpoint(2), target)
    newest = run.folder.checkpoints / "g000001-s00000002.ckpt"
    facts = newest.stat()
    damage(newest, kind)
    os.utime(newest, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    now = newest.stat()
    volume.size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) + 100

    assert (facts.st_size, facts.st_mtime_ns, facts.st_ino) == (now.st_size, now.st_mtime_ns, now.st_ino)
    assert (True, [1, 3]) == (save(io, make_checkpoint(3), target), run.steps())


def test_a_full_volume_keeps_all_where_nothing_is_whole(tmp_path: Path) -> None:
    """What cannot be judged here may be good elsewhere; the fault is told."""
    run, volume = SavedRun(tmp_path), FullVolume(1 << 30, tmp_path)
    io, target = run.begin(1, volume, keep=(2, 0)), run.folder.checkpoints / "step.ckpt"
    for step in (1, 2):
        save(io, make_checkpoint(step), target)
        damage(run.folder.checkpoints / f"g000001-s0000000{step}.ckpt", "bit")
    volume.size = 0

    assert (False, [1, 2], [FailureReason.STORAGE_FULL]) == (
        save(io, make_checkpoint(3), target),
        run.steps(),
        run.told.faults,
    )


def test_a_full_volume_keeps_the_line_of_a_round_whose_origin_was_damaged(tmp_path: Path) -> None:
    """A newer set of a generation that was overtaken is none to go back to, however whole it is."""
    run, volume = SavedRun(tmp_path), FullVolume(1 << 30, tmp_path)
    first, target = run.begin(1, keep=(9, 0)), run.folder.checkpoints / "step.ckpt"
    for step in (1, 2):
        save(first, make_checkpoint(step), target)
    second = run.begin(2, volume, keep=(2, 0))
    origin = run.folder.checkpoints / "g000001-s00000002.ckpt"
    damage(origin, "bit")
    save(first, make_checkpoint(9), target)
    volume.size = 0
    refused = save(second, make_checkpoint(3), target)
    found = run.choose().found

    assert (False, "g000001-s00000001.ckpt") == (refused, found and found.path.name)
    assert {1, 2} == {one.step for one in read_manifests(run.folder.checkpoints)}


def test_a_clock_that_was_set_back_makes_nothing_older(tmp_path: Path) -> None:
    """Generation and step say what is newest, no time does."""
    run = SavedRun(tmp_path)
    io, target = run.begin(1), run.folder.checkpoints / "step.ckpt"
    save(io, make_checkpoint(1), target)
    save(io, make_checkpoint(2), target)
    for found in scan(run.folder.checkpoints):
        earlier = found.manifest.model_copy(update={"time": 1000.0 - found.manifest.step})
        found.path.with_suffix(".json").write_text(earlier.model_dump_json())
    save(io, make_checkpoint(3), target)
    chosen = run.choose().found

    assert (3, [2, 3]) == (chosen and chosen.manifest.step, run.steps())


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Rounds of saves, crashes, damage and writers that were overtaken."""
    words = st.sampled_from(["save", "save", "crash", "power", "damage", "old", "restart"])
    return draw(st.lists(st.tuples(words, st.integers(0, 40)), min_size=3, max_size=10))


class Story:
    """A run folder and what we know of it: which sets are whole, by step."""

    def __init__(self, root: Path) -> None:
        self.run = SavedRun(root)
        self.generation = 0
        self.step = 0
        self.whole: dict[Path, int] = {}
        self.volume = TornVolume(root / "attic")
        self.old: DurableCheckpointIO | None = None
        self.restart()

    def restart(self, dies_at: int | None = None, death: Death = "process") -> None:
        """The next generation, from what there is."""
        self.generation += 1
        found = self.run.choose().found
        self.step = found.manifest.step if found else 0
        self.volume = TornVolume(self.run.root / f"attic-{self.generation}", dies_at, death)
        self.io = self.run.begin(self.generation, self.volume)

    def save(self) -> bool:
        """One more step; whether the process lives."""
        self.step += 1
        try:
            kept = save(self.io, make_checkpoint(self.step), self.run.folder.checkpoints / "step.ckpt")
        except Crash:
            self.volume.lose()
            return False
        if kept:
            self.whole[self.run.folder.checkpoints / f"g{self.generation:06d}-s{self.step:08d}.ckpt"] = self.step
        return True

    def tell(self, word: str, number: int) -> None:
        """One event."""
        match word:
            case "save":
                self.save()
            case "crash" | "power":
                self.restart(number, "power" if word == "power" else "process")
                while self.save() and self.step < 100:
                    pass
                self.restart()
            case "damage":
                kinds = DAMAGES + OTHERS
                there = sorted(path for path in self.run.folder.checkpoints.glob("*.ckpt"))
                if there:
                    file = there[number % len(there)]
                    damage(file, kinds[number % len(kinds)])
                    self.whole.pop(file, None)
            case "old":
                overtaken = self.io
                self.restart()
                save(overtaken, make_checkpoint(self.step + 50), self.run.folder.rfdetr / "last.ckpt")
            case _:
                self.restart()

    def newest_whole(self) -> int:
        """The newest step that is whole and was not pruned."""
        return max((step for path, step in self.whole.items() if path.exists()), default=0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories())
def test_whatever_happens_a_resume_finds_the_newest_whole_set(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]]
) -> None:
    """Saves, crashes, losses of power, damage and overtaken writers, in any order."""
    told = Story(tmp_path_factory.mktemp("story"))
    for word, number in story:
        told.tell(word, number)
        found = told.run.choose().found
        step = found.manifest.step if found else 0
        assert step >= told.newest_whole(), (story, word)
        if found is not None:
            load_verified(found.path, found.manifest.sha256)
