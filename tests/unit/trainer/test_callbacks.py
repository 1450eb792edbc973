"""Decisions of the callbacks: what is read, what is counted, when a checkpoint is due."""

from __future__ import annotations

import math
import os
import signal
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from rfdetr.training.callbacks.best_model import RFDETREarlyStopping

from rfdetr_contract.report import FailureReason, Outcome, RunReport, World
from rfdetr_contract.run import CheckpointRun, EarlyStoppingRun
from rfdetr_trainer.callbacks.agreement import Agreement
from rfdetr_trainer.callbacks.boundary import Boundary, StopFlag
from rfdetr_trainer.callbacks.guards import ConfigBeatsCheckpoint, LossGuard, Seen, attest
from rfdetr_trainer.callbacks.progress import Pace
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.interval import Interval, Losses
from rfdetr_trainer.outcome import Preempted
from rfdetr_trainer.saving import Saving
from runs import make_run_config, make_training


def test_sigterm_only_sets_a_flag() -> None:
    """The decision is made elsewhere, by all ranks."""
    before, flag = signal.getsignal(signal.SIGTERM), StopFlag()
    flag.install()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert flag.is_set


def test_the_end_is_estimated_from_this_processs_own_pace() -> None:
    """Ten steps in twenty seconds, thirty to go: a minute."""
    pace = Pace(started=100.0, first_step=50)

    assert (None, 60.0) == (pace.estimate(100.0, 50, 90), pace.estimate(120.0, 60, 90))


def test_the_whole_world_is_attested() -> None:
    """Each rank once, one precision; devices are named in the order of their ranks, and counted by node."""
    seen = [Seen(2, 1, "C", "32-true"), Seen(0, 0, "A", "32-true"), Seen(1, 0, "B", "32-true")]

    world = World(expected=3, attested=3, devices=("A", "B", "C"), devices_per_node=(2, 1), precision="32-true")
    assert world == attest(3, seen)


def test_a_large_worlds_report_stays_short() -> None:
    """Devices of the first 16 ranks, counts of the first 16 nodes: a pod's last message has 4096 bytes."""
    name = "NVIDIA GH200 144G HBM3e"
    world = attest(1024, [Seen(rank, rank // 8, name, "bf16-mixed") for rank in range(1024)])
    report = RunReport(outcome=Outcome.FAILED, world=world, message="m" * 2000, last_lines="l" * 2000)

    text = report.to_termination_message()
    assert ((name,) * 16, (8,) * 16, world) == (
        world.devices,
        world.devices_per_node,
        RunReport.model_validate_json(text).world,
    )


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ([Seen(0, 0, "cpu", "32-true")], "2 ranks were asked for, 1 are there"),
        ([Seen(0, 0, "cpu", "32-true"), Seen(0, 1, "cpu", "32-true")], "2 ranks were asked for, 1 are there"),
        ([Seen(0, 0, "A", "bf16-mixed"), Seen(1, 1, "B", "16-mixed")], "different precisions (16-mixed, bf16-mixed)"),
    ],
)
def test_a_world_that_is_not_the_one_asked_for_stops(seen: list[Seen], sentence: str) -> None:
    """Two rank-0 trainings side by side is the classic."""
    with pytest.raises(RunError) as caught:
        attest(2, seen)

    assert sentence in caught.value.message


def test_patience_and_gain_are_the_configs_and_the_waiting_is_the_checkpoints() -> None:
    """Two epochs were waited, of nine; now three are allowed, and a gain of 0.05 is none any more."""
    before, now = RFDETREarlyStopping(patience=9, min_delta=0.01), RFDETREarlyStopping(patience=3, min_delta=0.1)
    for score in (0.3, 0.2, 0.1):
        before._evaluate_stopping_criteria(torch.tensor(score))
    now.load_state_dict(before.state_dict())
    stopping = EarlyStoppingRun(enabled=True, patience=3, min_delta=0.1)
    guard = ConfigBeatsCheckpoint(make_run_config(training=make_training(early_stopping=stopping)))
    trainer = SimpleNamespace(callbacks=[now], optimizers=[SimpleNamespace(param_groups=[])], should_stop=False)
    guard.on_fit_start(trainer, None)
    guard.on_train_start(trainer, None)

    stops, _ = now._evaluate_stopping_criteria(torch.tensor(0.35))

    assert (3, 3, True, False) == (now.patience, now.wait_count, stops, trainer.should_stop)


class Trainer:
    """As much of Lightning's trainer as the guard reads."""

    global_step = 41
    current_epoch = 2


def test_the_first_broken_loss_is_kept() -> None:
    """The sentence names step, epoch and batch; later ones change nothing."""
    guard, found = LossGuard(), []
    for losses in ((1.0, 2.0), (1.0, float("nan")), (float("inf"), 1.0)):
        for loss in losses:
            guard.on_before_backward(Trainer(), None, torch.tensor(loss))
        guard.on_before_optimizer_step(Trainer(), None, None)
        found.append(guard.read())

    assert ["", found[1], found[1]] == found
    assert "nan at step 42 (epoch 3, batch 2 of 2 in the step)" in found[1]


class Training:
    """As much of Lightning's trainer as a boundary reads; one rank, five batches an epoch, two of them a step."""

    world_size = 1
    is_global_zero = True
    num_training_batches = 5
    accumulate_grad_batches = 2

    def __init__(self, run: CheckpointRun) -> None:
        self.fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(_broadcast_sigterm_tensor=list))
        self._signal_connector = SimpleNamespace(_sigterm_notifier_fn=print)
        self.global_step = 0
        self.saved: list[int] = []
        self.flag, self.loss, self.last = StopFlag(), LossGuard(), 0
        interval = Interval(run, Losses(), lambda: None, print)
        saving = SimpleNamespace(interval=interval, note_last=self._note_last, is_saved=lambda: True)
        self.boundary = Boundary(self.flag, cast("Saving", saving), "step.ckpt", Agreement(), broken=self.loss.read)

    def _note_last(self) -> None:
        self.last = self.global_step

    def save_checkpoint(self, _target: str) -> None:
        """Takes note."""
        self.saved.append(self.global_step)

    def train(self, batches: int, *, stop: tuple[str, int] = ("", 0), broken: int | None = None) -> None:
        """An epoch's first batches; a signal comes before or after the optimizer of a batch, the loss of one is broken."""
        self.current_epoch = 0
        self.boundary.on_fit_start(self, None)
        for index in range(batches):
            self.loss.on_before_backward(self, None, torch.tensor(math.nan if index == broken else 1.0))
            self.flag.is_set |= stop == ("before", index)
            if index in {1, 3, 4}:
                self.loss.on_before_optimizer_step(self, None, None)
                self.boundary.on_before_optimizer_step(self, None, None)
                self.global_step += 1
            self.flag.is_set |= stop == ("after", index)
            self.boundary.on_train_batch_end(self, None, None, None, index)


def test_a_save_is_due_at_a_steps_end_and_the_epochs_end_saves_by_itself() -> None:
    """Steps end with the batches 2, 4 and 5."""
    training = Training(CheckpointRun(every_steps=1))

    training.train(5)

    assert [1, 2] == training.saved


@pytest.mark.parametrize(
    ("stop", "step"), [(("before", 0), 1), (("before", 1), 1), (("after", 1), 2), (("before", 4), 3)]
)
def test_a_signal_ends_the_step_that_has_not_met_its_optimizer(stop: tuple[str, int], step: int) -> None:
    """It leaves after a save that is the last; one that comes during the optimizer's work is the next step's."""
    training = Training(CheckpointRun())

    with pytest.raises(Preempted) as caught:
        training.train(5, stop=stop)

    assert ([step], step, step) == (training.saved, training.last, caught.value.step)


def test_what_is_broken_is_never_saved() -> None:
    """A save was due at the end of the same step, and a signal asked to leave."""
    training = Training(CheckpointRun(every_steps=2))

    with pytest.raises(RunError) as caught:
        training.train(5, stop=("before", 2), broken=2)

    assert (FailureReason.NAN_LOSS, []) == (caught.value.reason, training.saved)
