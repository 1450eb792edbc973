"""Where all ranks decide together: at the end of an optimizer step, and between two epochs.

Nothing else may leave or save: no process decides alone, and a signal's handler only sets a flag.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torch.distributed as dist

from rfdetr_contract.report import FailureReason
from rfdetr_contract.run import CheckpointRun
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.outcome import Preempted


class StopFlag:
    """Set by SIGTERM, read at boundaries."""

    def __init__(self) -> None:
        self.is_set = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The handler: it sets the flag and does nothing else."""
        self.is_set = True

    def install(self) -> None:
        """Listen to SIGTERM."""
        signal.signal(signal.SIGTERM, self.handle)


def is_due(step: int, every_steps: int | None) -> bool:
    """Whether this optimizer step ends with a checkpoint."""
    return every_steps is not None and step > 0 and step % every_steps == 0


class Agreed(NamedTuple):
    """What any rank wanted."""

    leave: bool
    save: bool
    broken: bool


class Boundary(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Saves when it is due, and leaves when any rank was told to: after a save that all ranks take part in.

    The last batch of an epoch is no boundary: a state saved there would skip the epoch's validation when it resumes. The
    epoch's end saves by itself (RF-DETR's own ``last``), and the next epoch's start is a boundary.
    """

    def __init__(
        self,
        flag: StopFlag,
        plan: CheckpointRun,
        target: str,
        *,
        is_saved: Callable[[], bool],
        broken: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._flag = flag
        self._plan = plan
        self._target = target
        self._is_saved = is_saved
        self._broken = broken
        self._clock = clock
        self._saved_at = clock()
        self._group: Any = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning broadcasts a flag of its own each step; ours replaces it."""
        loop = trainer.fit_loop.epoch_loop
        assert callable(loop._broadcast_sigterm_tensor)
        loop._broadcast_sigterm_tensor = lambda: None
        if trainer.world_size > 1:
            self._group = dist.new_group(backend="gloo")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning has just put a handler of its own, with a collective in it, over ours."""
        self._flag.install()
        self._saved_at = self._clock()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Between two epochs, and right after a resume, everything is saved already."""
        if self._agree(leave=self._flag.is_set).leave:
            raise Preempted(trainer.global_step, saved=self._is_saved())

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The end of an optimizer step; what is broken is never saved, and the epoch's last step saves itself."""
        last = batch_idx + 1 >= trainer.num_training_batches
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not last:
            return
        every = self._plan.every_minutes
        late = every is not None and trainer.is_global_zero and self._clock() - self._saved_at >= every * 60
        agreed = self._agree(leave=self._flag.is_set, save=late, broken=bool(self._broken()))
        if agreed.broken:
            raise RunError(FailureReason.NAN_LOSS, self._broken() or "the loss of another rank is not a number")
        if last:
            return
        if agreed.leave or agreed.save or is_due(trainer.global_step, self._plan.every_steps):
            trainer.save_checkpoint(self._target)
            self._saved_at = self._clock()
        if agreed.leave:
            raise Preempted(trainer.global_step, saved=self._is_saved())

    def _agree(self, *, leave: bool, save: bool = False, broken: bool = False) -> Agreed:
        """True on every rank as soon as it is true on one: a single collective."""
        if self._group is None:
            return Agreed(leave, save, broken)
        words = torch.tensor([int(leave), int(save), int(broken)])
        dist.all_reduce(words, op=dist.ReduceOp.MAX, group=self._group)
        return Agreed(*(bool(word) for word in words))
