"""Decisions of the callbacks: what is read, what is counted, when a checkpoint is due."""

from __future__ import annotations

import os
import signal

import pytest

from rfdetr_contract.report import World
from rfdetr_trainer.callbacks.boundary import StopFlag
from rfdetr_trainer.callbacks.guards import LossGuard, attest
from rfdetr_trainer.callbacks.progress import Pace
from rfdetr_trainer.errors import RunError


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
    """Each rank once, one precision."""
    seen = [(1, "cpu", "32-true"), (0, "cpu", "32-true")]

    assert World(expected=2, attested=2, devices=("cpu", "cpu"), precision="32-true") == attest(2, seen)


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ([(0, "cpu", "32-true")], "2 ranks were asked for, 1 are there"),
        ([(0, "cpu", "32-true"), (0, "cpu", "32-true")], "2 ranks were asked for, 1 are there"),
        ([(0, "A", "bf16-mixed"), (1, "B", "16-mixed")], "different precisions (16-mixed, bf16-mixed)"),
    ],
)
def test_a_world_that_is_not_the_one_asked_for_stops(seen: list[tuple[int, str, str]], sentence: str) -> None:
    """Two rank-0 trainings side by side is the classic."""
    with pytest.raises(RunError) as caught:
        attest(2, seen)

    assert sentence in caught.value.message


class Trainer:
    """As much of Lightning's trainer as the guard reads."""

    global_step = 41
    current_epoch = 2


def test_the_first_broken_loss_is_kept() -> None:
    """The sentence names step, epoch and batch; later ones change nothing."""
    guard = LossGuard()
    guard.on_train_batch_end(Trainer(), None, {"loss": 1.0}, None, 0)
    before = guard.read()
    guard.on_train_batch_end(Trainer(), None, {"loss": float("nan")}, None, 1)
    guard.on_train_batch_end(Trainer(), None, {"loss": float("inf")}, None, 2)

    assert ("", True) == (before, "nan at step 41 (epoch 3, batch 2)" in guard.read())
