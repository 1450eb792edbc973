"""Every rank tells its launcher what it is doing and what it has counted: at each change, and at most twice a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from rfdetr_contract.report import FailureReason
from rfdetr_trainer.callbacks.stopwatch import FETCH, SAVE, Stopwatch
from rfdetr_trainer.callbacks.tally import Tally
from rfdetr_trainer.messages import Line, Phase

SEND_INTERVAL = 0.5  # seconds between two messages that tell of no change
Clock = Callable[[], float]


class Meter(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """The phase and the tally of this rank. ``samples``: images of one batch, all ranks together."""

    def __init__(self, line: Line, samples: int, *, clock: Clock = time.monotonic) -> None:
        self._line = line
        self._samples = samples
        self._clock = clock
        self._sent = clock()
        self._step_began: float | None = None
        self._mark = 0.0  # when the wait for a batch began
        self._save_began = 0.0
        self._forward_began = 0.0
        self._eval_mark = 0.0
        self._before_save: Phase = "init"
        self._gpu: torch.device | None = None
        self._hooks: list[Any] = []
        self._step = 0
        self.phase: Phase | None = None
        self.tally = Tally()
        self.stopwatch = Stopwatch({FETCH: (self._wait, self._get), SAVE: (self._begin_save, self._end_save)})

    def enter(self, phase: Phase) -> None:
        """Another phase begins; the launcher hears of it at once."""
        if phase != self.phase:
            self.phase = phase
            self._send()

    def note_storage(self, fault: str, reason: FailureReason = FailureReason.STORAGE_ERROR) -> None:
        """A checkpoint could not be saved, or (no ``fault``) one could again."""
        if fault:
            self.tally.add_failure(reason)
        self._line.send(storage_fault=fault, pulse=self.tally.build())

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The device is known now."""
        if pl_module.device.type == "cuda":
            self._gpu = pl_module.device

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The state is restored: from here on a rank trains."""
        self._step = trainer.global_step
        self._hooks = watch_forward(pl_module.model, self._begin_forward, self._end_forward)
        self.enter("first_step")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The epoch's first step begins with the wait for its first batch."""
        self._step_began = self._clock()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step ends with the last of its batches."""
        now = self._clock()
        self.tally.samples += self._samples
        step = trainer.global_step
        if step != self._step:
            self.tally.add_step(None if self._step_began is None else now - self._step_began)
            self._step, self._step_began = step, now
            self.enter("train")
        if now - self._sent >= SEND_INTERVAL:
            self._send()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Time spent here is no step's."""
        self._eval_mark = self._clock()
        self.enter("eval")

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        """A long validation is seen to go on."""
        if self._count_eval() - self._sent >= SEND_INTERVAL:
            self._send()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """RF-DETR has computed its metrics."""
        self._step_began = self._count_eval()
        self.enter("train")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """RF-DETR writes its best weights next."""
        for hook in self._hooks:
            hook.remove()
        self.enter("export")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Rank 0 judges next, the others wait for it."""
        self.enter("judge")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The last totals: what was counted since the last message is not lost."""
        self._send()

    def _count_eval(self) -> float:
        now = self._clock()
        self.tally.eval_seconds += now - self._eval_mark
        self._eval_mark = now
        return now

    def _send(self) -> None:
        self._sent = self._clock()
        self._line.send(phase=self.phase, step=self._step, pulse=self.tally.build(self._read_gpu()))

    def _read_gpu(self) -> tuple[int, int] | None:
        if self._gpu is None:
            return None
        return torch.cuda.memory_allocated(self._gpu), torch.cuda.max_memory_allocated(self._gpu)

    def _wait(self) -> None:
        self._mark = self._clock()

    def _get(self) -> None:
        self.tally.add_wait(self._clock() - self._mark)

    def _begin_forward(self) -> None:
        self._forward_began = self._clock()

    def _end_forward(self) -> None:
        self.tally.own += self._clock() - self._forward_began

    def _begin_save(self) -> None:
        self._save_began, self._before_save = self._clock(), self.phase or "init"
        self.enter("checkpoint")

    def _end_save(self) -> None:
        stood = self._clock() - self._save_began
        self.tally.checkpoint_seconds += stood
        self._eval_mark += stood  # a save is no part of a validation, nor of a step
        if self._step_began is not None:
            self._step_began += stood
        self.enter(self._before_save)


def watch_forward(module: torch.nn.Module, begin: Callable[[], None], end: Callable[[], None]) -> list[Any]:
    """Call ``begin`` and ``end`` around the module's own forward pass in training: before any loss waits for a peer.

    The hooks are plain functions, which a copy of the module (the EMA's) shares instead of copying what they hold.
    """

    def before(module: torch.nn.Module, _: Any) -> None:
        if module.training:
            begin()

    def after(module: torch.nn.Module, *_: Any) -> None:
        if module.training:
            end()

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
