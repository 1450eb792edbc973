"""The end of a run: the best checkpoint judged once more, the terminal marker written, and only then everybody leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl

from rfdetr_trainer.callbacks.agreement import Agreed, Agreement
from rfdetr_trainer.callbacks.boundary import StopFlag
from rfdetr_trainer.outcome import Preempted

Breathe = Callable[[], object]  # called between two pieces of a long work; it may end it
PIECE_LIMIT = timedelta(hours=1)  # ranks wait for a piece of rank 0's judgement, however slow


class Finish(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Runs last in ``on_fit_end``: ``conclude`` on global rank 0, while the others hear of its progress.

    All steps are durable by now. A rank that is told to leave takes all with it, and the restart only judges.
    """

    def __init__(self, flag: StopFlag, agreement: Agreement, conclude: Callable[[Any, Any, Breathe], None]) -> None:
        self._flag = flag
        self._agreement = agreement
        self._conclude = conclude

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """All ranks are in step."""
        self._agreement.open(trainer.world_size)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """No rank leaves before the terminal marker is durable, unless all of them leave."""
        if trainer.is_global_zero:
            self._conclude(trainer, pl_module, lambda: self._ask(trainer.global_step, done=False))
        while not self._ask(trainer.global_step, done=trainer.is_global_zero):
            pass

    def _ask(self, step: int, *, done: bool) -> bool:
        agreed = self._agreement.ask(Agreed(leave=not done and self._flag.read(), done=done), PIECE_LIMIT)
        if agreed.leave and not agreed.done:
            raise Preempted(step)
        return agreed.done
