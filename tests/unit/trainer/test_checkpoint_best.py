"""The best weights: published when they appear, those of the state that a round goes on from, and no newer generation's."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rfdetr.training.callbacks import BestModelCallback

from rfdetr_contract import names
from rfdetr_trainer.best import BestManifest, build_limits, read_best
from rfdetr_trainer.callbacks.best_weights import BestWeights, replace_best
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO
from rfdetr_trainer.durable import Volume
from rfdetr_trainer.generations import read_claims
from rfdetr_trainer.loading import load_verified
from saved_run import QUICK, SavedRun, make_checkpoint, save
from torn_volume import BrokenVolume

METRIC = "val/ema_mAP_50_95"


class Strategy:
    """One rank: what it tells the others is what it hears."""

    def broadcast(self, value: Any) -> Any:
        return value


class Training:
    """A run whose validations score what we say, with RF-DETR's own decisions."""

    def __init__(self, root: Path, generation: int = 1, volume: Volume = QUICK) -> None:
        self.run = SavedRun(root)
        self.io = self.run.begin(generation, volume)
        stock = BestModelCallback(
            str(self.run.folder.rfdetr), monitor_ema=METRIC, run_test=False, evaluates_base_model=False
        )
        self.trainer = SimpleNamespace(
            callbacks=[stock],
            strategy=Strategy(),
            is_global_zero=True,
            sanity_checking=False,
            callback_metrics={},
            current_epoch=0,
            global_step=0,
        )
        replace_best(self.trainer, self.io)
        self.best: BestWeights = self.trainer.callbacks[0]

    def start(self, best: float = 0.0) -> None:
        """The state is restored, with a best of its own."""
        self.best._best_ema = best
        self.best.on_fit_start(self.trainer, None)

    def end_epoch(self, epoch: int, score: float) -> bool:
        """A validation, and the save behind it."""
        self.trainer.current_epoch, self.trainer.global_step = epoch - 1, 10 * epoch
        self.trainer.callback_metrics = {METRIC: torch.tensor(score), "val/ema_mAP_50": torch.tensor(2 * score)}
        self.best.on_validation_end(self.trainer, None)
        return save(self.io, make_checkpoint(10 * epoch, epoch=epoch), self.run.folder.rfdetr / "last.ckpt")

    def total(self) -> BestManifest | None:
        """What the file that users take is known by."""
        path = self.run.folder.rfdetr / names.BEST_CHECKPOINT
        known = read_best(path.with_suffix(".json"))
        if known is not None:
            load_verified(path, known.sha256)
        return known

    def epoch(self) -> int | None:
        """Whose weights users would take now."""
        total = self.total()
        return total.epoch if total else None


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """The first round of a job."""
    begun = Training(tmp_path)
    begun.start()
    return begun


def test_a_best_is_published_when_it_appears(training: Training) -> None:
    """Not at the end of the run, and a worse epoch changes nothing."""
    seen = []
    for epoch, score in ((1, 0.25), (2, 0.5), (3, 0.375)):
        training.end_epoch(epoch, score)
        seen.append(training.epoch())
    total = training.total()

    assert [1, 2, 2] == seen
    assert total is not None
    assert (METRIC, 0.5, 0.5, 1.0, "ema", 20, 1) == (
        total.metric,
        total.score,
        total.map50_95,
        total.map50,
        total.weights,
        total.step,
        total.generation,
    )


def test_the_best_file_holds_the_weights_that_were_scored(training: Training) -> None:
    """The moving average of that epoch, under RF-DETR's own keys."""
    training.end_epoch(1, 0.25)
    training.end_epoch(2, 0.125)
    total = training.total()
    assert total is not None
    loaded = load_verified(training.run.folder.rfdetr / names.BEST_CHECKPOINT, total.sha256)

    assert (5.0, 5.0, "ema", 0, []) == (
        float(loaded["model"]["weights"][0]),
        float(loaded["state_dict"]["model.weights"][0]),
        loaded["best_total_source"],
        loaded["epoch"],
        loaded["optimizer_states"],
    )


def test_a_round_that_goes_on_from_before_a_best_does_not_have_it(training: Training, tmp_path: Path) -> None:
    """The best of an epoch that is trained again is not offered meanwhile; the one before it is."""
    training.end_epoch(1, 0.25)
    training.end_epoch(2, 0.5)
    (training.run.folder.checkpoints / "g000001-s00000020.ckpt").write_bytes(b"damaged")
    again = Training(tmp_path, generation=2)
    again.start(best=0.25)
    put_back = again.epoch()
    again.end_epoch(2, 0.5)

    assert (1, 2) == (put_back, again.epoch())


def test_a_state_whose_best_is_gone_takes_the_next_one(training: Training, tmp_path: Path) -> None:
    """Otherwise a run whose best was lost could end without any."""
    training.end_epoch(1, 0.5)
    for path in training.run.folder.best.iterdir():
        path.unlink()
    again = Training(tmp_path, generation=2)
    again.start(best=0.5)
    withdrawn = again.epoch()
    again.end_epoch(2, 0.25)

    assert (None, 2) == (withdrawn, again.epoch())


def test_a_run_that_is_only_judged_keeps_its_best(training: Training, tmp_path: Path) -> None:
    """Its last weights are not its best ones."""
    training.end_epoch(1, 0.5)
    training.end_epoch(2, 0.25)
    again = Training(tmp_path, generation=2)
    again.trainer._checkpoint_connector = SimpleNamespace(
        dump_checkpoint=lambda **_: make_checkpoint(20, epoch=2) | {"epoch": 2}
    )
    again.trainer.current_epoch, again.trainer.global_step = 2, 20
    again.start(best=0.5)
    again.best.on_fit_end(again.trainer, None)

    assert 1 == again.epoch()
    assert (again.run.folder.rfdetr / "last_ema.pth").is_file()


def test_a_run_without_a_better_score_has_its_last_weights_for_best(training: Training) -> None:
    """RF-DETR's own rule: a score of 0 is no improvement, and there is a best all the same."""
    training.end_epoch(1, 0.0)
    training.trainer._checkpoint_connector = SimpleNamespace(
        dump_checkpoint=lambda **_: make_checkpoint(10, epoch=1) | {"epoch": 1}
    )
    training.trainer.current_epoch = 1
    before = training.epoch()
    training.best.on_fit_end(training.trainer, None)

    assert (None, 1) == (before, training.epoch())


def test_a_best_that_the_volume_refused_is_none(tmp_path: Path) -> None:
    """The next epoch is measured against what is there."""
    volume = BrokenVolume("write", None)
    training = Training(tmp_path, volume=volume)
    training.start()
    training.end_epoch(1, 0.25)
    volume.number = errno.ENOSPC
    refused = training.end_epoch(2, 0.75)
    volume.number = None
    training.end_epoch(3, 0.5)

    assert (False, 3) == (refused, training.epoch())


def test_an_overtaken_writer_leaves_the_names_of_a_newer_generation_alone(training: Training, tmp_path: Path) -> None:
    """Its own file is its own; nobody goes on from it."""
    training.end_epoch(1, 0.25)
    newer = Training(tmp_path, generation=2)
    newer.start(best=0.25)
    newer.end_epoch(2, 0.5)
    training.end_epoch(2, 0.875)

    assert (2, 2) == (newer.epoch(), getattr(newer.total(), "generation", None))


def test_only_the_bests_that_a_state_knows_of_stay(training: Training) -> None:
    """Two sets stay, so at most three bests do."""
    for epoch in range(1, 7):
        training.end_epoch(epoch, epoch / 8)

    assert [f"g000001-s000000{step}-ema.pth" for step in (50, 60)] == sorted(
        path.name for path in training.run.folder.best.glob("*.pth")
    )


def test_a_state_of_ours_is_a_state_of_rfdetrs_own(training: Training) -> None:
    """Either can go on from the other."""
    stock = BestModelCallback(str(training.run.folder.rfdetr), monitor_ema=METRIC, evaluates_base_model=False)

    assert stock.state_key == training.best.state_key


def test_a_generations_work_counts_up_to_where_its_child_went_on(tmp_path: Path) -> None:
    """And a generation beside the line counts for nothing."""
    run = SavedRun(tmp_path)
    first: DurableCheckpointIO = run.begin(1)
    save(first, make_checkpoint(5), run.folder.checkpoints / "step.ckpt")
    run.begin(2)
    run.begin(3, parent=1)
    limits = build_limits(read_claims(run.folder.generations), 3, run.resume())

    assert {3: float("inf"), 1: 5} == limits
