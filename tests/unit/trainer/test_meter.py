"""What a rank says of itself: phases, steps, seconds; over a real socket, by a clock of the test."""

from __future__ import annotations

import copy
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rfdetr_contract.metrics import STEP_BUCKETS
from rfdetr_contract.report import FailureReason
from rfdetr_trainer.callbacks.meter import Meter, watch_forward
from rfdetr_trainer.callbacks.stopwatch import FETCH, SAVE
from rfdetr_trainer.callbacks.tally import Tally
from rfdetr_trainer.messages import Line, Pulse, WorkerMessage


class Ear:
    """The launcher's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def hear(self) -> list[WorkerMessage]:
        """All that was said."""
        heard = []
        while True:
            try:
                heard.append(WorkerMessage.model_validate_json(self.socket.recv(1 << 16)))
            except BlockingIOError:
                return heard


class Scene:
    """A meter, its clock, and as much of Lightning as it looks at."""

    def __init__(self, ear: Ear) -> None:
        self.now = 100.0
        self.ear = ear
        self.trainer = SimpleNamespace(global_step=0)
        self.module = SimpleNamespace(model=torch.nn.Linear(1, 1), device=torch.device("cpu"))
        self.line = Line(str(ear.path), 1, 3)
        self.meter = Meter(self.line, 4, clock=lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        """Nothing happens for a while."""
        self.now += seconds

    def fetch(self, seconds: float) -> None:
        """Lightning waits for a batch."""
        self.meter.stopwatch.start(FETCH)
        self.now += seconds
        self.meter.stopwatch.stop(FETCH)

    def save(self, seconds: float) -> None:
        """Lightning saves a checkpoint."""
        with self.meter.stopwatch.profile(SAVE):
            self.now += seconds

    def train_batch(self, seconds: float, *, steps: bool = True) -> None:
        """A batch, and with it an optimizer step."""
        self.now += seconds
        self.trainer.global_step += steps
        self.meter.on_train_batch_end(self.trainer, self.module, None, None, 0)

    def begin(self) -> None:
        """Up to the first epoch's start."""
        self.meter.enter("init")
        self.meter.on_train_start(self.trainer, self.module)
        self.meter.on_train_epoch_start(self.trainer, self.module)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A fresh one."""
    scene = Scene(Ear(tmp_path / "ear"))
    yield scene
    scene.line.close()
    scene.ear.socket.close()


def test_every_change_of_phase_is_told_at_once(scene: Scene) -> None:
    """From the start to the judgement, with a save in between."""
    scene.begin()
    scene.train_batch(0.1)
    scene.save(0.1)
    scene.meter.on_validation_start(scene.trainer, scene.module)
    scene.meter.on_validation_end(scene.trainer, scene.module)
    scene.meter.on_train_end(scene.trainer, scene.module)
    scene.meter.on_fit_end(scene.trainer, scene.module)

    phases = ["init", "first_step", "train", "checkpoint", "train", "eval", "train", "export", "judge"]
    assert phases == [message.phase for message in scene.ear.hear()]


def test_steps_alone_are_told_at_most_twice_a_second(scene: Scene) -> None:
    """A hundred steps of ten milliseconds: one message each half second, and the totals of each moment."""
    scene.begin()
    scene.train_batch(0.01)
    scene.ear.hear()
    for _ in range(100):
        scene.train_batch(0.01)

    steps = [(message.phase, message.step, message.pulse and message.pulse.steps) for message in scene.ear.hear()]
    assert [("train", 51, 51), ("train", 101, 101)] == steps


def test_a_long_validation_is_seen_to_go_on(scene: Scene) -> None:
    """Its seconds grow batch by batch."""
    scene.begin()
    scene.meter.on_validation_start(scene.trainer, scene.module)
    scene.ear.hear()
    for _ in range(3):
        scene.pass_time(1)
        scene.meter.on_validation_batch_end(scene.trainer, scene.module, None, None, 0)

    assert [1, 2, 3] == [message.pulse and message.pulse.eval_seconds for message in scene.ear.hear()]


def test_a_step_is_as_long_as_its_batches_and_their_data(scene: Scene) -> None:
    """Saves and validations are counted apart; a batch that only accumulates ends no step."""
    scene.begin()
    scene.fetch(0.25)
    scene.train_batch(0.25, steps=False)
    scene.train_batch(0.5)
    scene.save(2)
    scene.train_batch(0.5)
    scene.meter.on_validation_start(scene.trainer, scene.module)
    scene.pass_time(3)
    scene.save(1)
    scene.meter.on_validation_end(scene.trainer, scene.module)

    tally = scene.meter.tally
    lengths = {bound: count for bound, count in zip(STEP_BUCKETS, tally.buckets, strict=False) if count}
    assert ({1.0: 1, 0.5: 1}, 2, 12, 1.5, 0.25, 3, 3) == (
        lengths,
        tally.steps,
        tally.samples,
        tally.step_seconds,
        tally.data_wait_seconds,
        tally.eval_seconds,
        tally.checkpoint_seconds,
    )


def test_own_seconds_are_the_wait_and_the_forward_pass_and_no_more(scene: Scene) -> None:
    """What comes after the forward pass waits for the slowest peer."""

    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scene.pass_time(0.25)
            return x

    scene.module.model = Slow()
    scene.begin()
    scene.fetch(0.5)
    scene.module.model(torch.zeros(1))
    scene.train_batch(9)

    assert 0.75 == scene.meter.tally.own_average


def test_a_validation_pass_is_nobodys_own_work(scene: Scene) -> None:
    """Only training counts."""
    calls: list[str] = []
    module = torch.nn.Linear(1, 1).eval()
    watch_forward(module, lambda: calls.append("begin"), lambda: calls.append("end"))
    module(torch.zeros(1))

    assert [] == calls


def test_a_copy_of_a_watched_module_can_be_made(scene: Scene) -> None:
    """The EMA copies the model; sockets and clocks are not copied with it."""
    scene.begin()

    assert torch.equal(scene.module.model.weight, copy.deepcopy(scene.module.model).weight)


def test_a_fault_of_the_storage_is_told_and_counted(scene: Scene) -> None:
    """It stays counted when a later save succeeds."""
    scene.meter.note_storage("disk full", FailureReason.STORAGE_FULL)
    scene.meter.note_storage("")

    told = [
        (message.storage_fault, message.pulse and message.pulse.checkpoint_failures) for message in scene.ear.hear()
    ]
    assert [("disk full", {FailureReason.STORAGE_FULL: 1}), ("", {FailureReason.STORAGE_FULL: 1})] == told


def test_the_last_totals_are_told_when_training_breaks(scene: Scene) -> None:
    """What was counted since the last message is not lost."""
    scene.begin()
    scene.train_batch(0.01)
    scene.train_batch(0.01)
    scene.ear.hear()
    scene.meter.on_exception(scene.trainer, scene.module, RuntimeError())

    assert [2] == [message.pulse and message.pulse.steps for message in scene.ear.hear()]


def test_the_average_follows_the_last_ten_steps() -> None:
    """One slow step moves it by a tenth."""
    tally = Tally()
    for own in (1.0, 1.0, 2.0):
        tally.own = own
        tally.add_step(3.0)

    assert 1.1 == pytest.approx(tally.own_average)


def test_a_step_that_nobody_saw_begin_has_no_length() -> None:
    """It is counted all the same."""
    tally = Tally()
    tally.add_step(None)

    assert Pulse(steps=1, step_buckets=(0,) * (len(STEP_BUCKETS) + 1)) == tally.build()


def test_a_last_word_waits_for_room(scene: Scene) -> None:
    """A socket that is full drops what will be said again, never an outcome."""
    for step in range(2000):
        scene.line.send(step=step)
    word = threading.Thread(target=lambda: scene.line.send(outcome="completed"))
    word.start()
    word.join(0.05)
    waits, filled = word.is_alive(), scene.ear.hear()
    word.join()

    outcomes = [message.outcome for message in scene.ear.hear()]
    assert (True, True, ["completed"]) == (waits, len(filled) < 2000, outcomes or [filled[-1].outcome])
