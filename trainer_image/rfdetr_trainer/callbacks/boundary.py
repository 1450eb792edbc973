"""Where all ranks decide together: at the end of an optimizer step, of a validation batch, and between two epochs.

Nothing else may leave or save: no process decides alone, and a signal's handler only sets a flag.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from rfdetr_contract.report import FailureReason
from rfdetr_trainer.callbacks.agreement import Agreed, Agreement
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.outcome import Preempted

if TYPE_CHECKING:
    from rfdetr_trainer.saving import Saving


class StopFlag:
    """Set by SIGTERM, read at boundaries."""

    def __init__(self) -> None:
        self.is_set = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The handler: it sets the flag and does nothing else."""
        self.is_set = True

    def read(self) -> bool:
        """Whether this rank was told to leave."""
        return self.is_set

    def install(self) -> None:
        """Listen to SIGTERM."""
        signal.signal(signal.SIGTERM, self.handle)


class Boundary(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Saves when it is due, and leaves when any rank was told to: after a save that all ranks take part in.

    A step's question is asked before the optimizer works, when its gradients have just brought all ranks together, and
    answered at the step's end: no rank waits there for a slower one, and a signal that comes in between is the next step's.

    From an epoch's last step to the end of its validation nothing changes but Lightning's counters: a state saved there
    resumes with the whole validation. An epoch's end saves by itself (RF-DETR's own ``last``).
    """

    def __init__(
        self,
        flag: StopFlag,
        saving: Saving,
        target: str,
        agreement: Agreement,
        *,
        broken: Callable[[], str] = str,
    ) -> None:
        self._flag = flag
        self._saving = saving
        self._interval = saving.interval
        self._target = target
        self._broken = broken
        self._agreement = agreement

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning broadcasts a flag of its own each step, and in its signal handler; ours replaces both."""
        loop, signals = trainer.fit_loop.epoch_loop, trainer._signal_connector
        assert callable(loop._broadcast_sigterm_tensor)
        assert callable(signals._sigterm_notifier_fn)
        loop._broadcast_sigterm_tensor = lambda: None
        signals._sigterm_notifier_fn = self._flag.handle
        self._agreement.open(trainer.world_size)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Nothing is trained yet: what there is to keep is durable already."""
        self._interval.note_saved()
        self._leave_saved(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Between two epochs everything is saved already."""
        self._interval.note_saved()
        self._leave_saved(trainer)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """All of the step's losses are known; whether a save is due at its end is rank 0's to say."""
        due = trainer.is_global_zero and self._interval.is_due(trainer.global_step + 1)
        self._agreement.post(Agreed(self._flag.read(), due, bool(self._broken())))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The end of an optimizer step; what is broken is never saved, and the epoch's end is near its last step."""
        last = batch_idx + 1 >= trainer.num_training_batches
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not last:
            return
        agreed = self._agreement.hear()
        if agreed.broken:
            raise RunError(FailureReason.NAN_LOSS, self._broken() or "the loss of another rank is not a number")
        if agreed.leave:
            self._leave(trainer)
        if agreed.save and not last:
            self._save(trainer)

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        """Every rank has as many batches. The answer to the batch before is read, so that no rank waits for another."""
        if trainer.sanity_checking:
            return
        agreed = self._agreement.hear()
        self._agreement.post(Agreed(self._flag.read()))
        if agreed.leave:
            self._agreement.hear()
            self._leave(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The epoch's end is here, and saves: whoever wants to leave does so after it."""
        self._agreement.hear()

    def _leave_saved(self, trainer: Any) -> None:
        if self._agreement.ask(Agreed(self._flag.read())).leave:
            self._go(trainer)

    def _leave(self, trainer: Any) -> None:
        self._saving.note_last()
        self._save(trainer)
        self._go(trainer)

    def _go(self, trainer: Any) -> None:
        """No rank goes before the state is durable: a launcher whose peer is gone ends its workers."""
        lost = self._agreement.ask(Agreed(broken=not self._saving.is_saved())).broken
        raise Preempted(trainer.global_step, saved=not lost)

    def _save(self, trainer: Any) -> None:
        trainer.save_checkpoint(self._target)
        self._interval.note_saved()
