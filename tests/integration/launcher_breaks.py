"""A Lightning callback of a user's, which asks for more memory than any machine has."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

FACTORY = "integration.launcher_breaks:create_callbacks"


class Greedy(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Refused by the system when the first batch comes."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Four exabytes."""
        torch.empty(1 << 60)


def create_callbacks() -> list[pl.Callback]:
    """The factory that Lightning calls in each worker."""
    return [Greedy()]
