"""Between the bell and the queue: which versions of a job rang since its last pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from rfdetr_operator.shell.cluster import Key

OTHER: Final = ""  # a pod's event, or no event at all

Reconcile = Callable[[Key, frozenset[str]], Awaitable[timedelta | None]]


class Doorbell:
    """The queue's handler. An echo of our own status write has the version that it made, and is no news."""

    def __init__(self, reconcile: Reconcile) -> None:
        self._reconcile = reconcile
        self._heard: dict[Key, set[str]] = {}

    def hear(self, key: Key, version: str = OTHER) -> None:
        """The job is at this version, or something of it changed."""
        self._heard.setdefault(key, set()).add(version)

    async def __call__(self, key: Key) -> timedelta | None:
        """One pass with what was heard; what is heard during it belongs to the next one."""
        return await self._reconcile(key, frozenset(self._heard.pop(key, ())))
