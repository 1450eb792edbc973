"""The end of a run: the best checkpoint judged once more, the terminal marker written, and only then everybody leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist

JUDGING_LIMIT = timedelta(hours=12)  # ranks wait for rank 0's judgement, however large the validation set


class Finish(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Runs last in ``on_fit_end``: ``conclude`` on global rank 0, then a barrier for all."""

    def __init__(self, conclude: Callable[[Any, Any], None]) -> None:
        self._conclude = conclude
        self._group: Any = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The group is made while all ranks are in step."""
        if trainer.world_size > 1:
            self._group = dist.new_group(backend="gloo", timeout=JUDGING_LIMIT)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """No rank leaves before the terminal marker is durable."""
        if trainer.is_global_zero:
            self._conclude(trainer, pl_module)
        if self._group is not None:
            dist.barrier(group=self._group)
