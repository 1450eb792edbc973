"""Lightning's own measuring points, listened to: only they see the wait for a batch, and all of a save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pytorch_lightning.profilers import Profiler

FETCH: Final = "[_TrainingEpochLoop].train_dataloader_next"
SAVE: Final = "save_checkpoint"
Pair = tuple[Callable[[], None], Callable[[], None]]


class Stopwatch(Profiler):  # type: ignore[misc]  # Lightning is not type-checked here
    """Calls one function when a watched action begins and one when it ends; all other actions cost a look-up."""

    def __init__(self, watched: Mapping[str, Pair]) -> None:
        super().__init__()
        self._watched = watched

    def start(self, action_name: str) -> None:
        """An action begins."""
        if (pair := self._watched.get(action_name)) is not None:
            pair[0]()

    def stop(self, action_name: str) -> None:
        """It has ended, well or not."""
        if (pair := self._watched.get(action_name)) is not None:
            pair[1]()
