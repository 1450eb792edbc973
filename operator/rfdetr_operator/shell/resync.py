"""The list of all jobs, now and every five minutes: it mends whatever event was lost, and it says that the API answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from rfdetr_operator.shell.cluster import Cluster, ClusterError, Key

log = logging.getLogger(__name__)

PERIOD: Final = 300.0  # seconds, +-20 %
AGAIN: Final = 5.0  # seconds after a list that failed


class Resync:
    """``heard`` is told every list. ``listed`` is set from the first one on."""

    def __init__(self, cluster: Cluster, heard: Callable[[frozenset[Key]], None], chance: Callable[[], float]) -> None:
        self._cluster = cluster
        self._heard = heard
        self._chance = chance
        self._due = asyncio.Event()
        self.listed = asyncio.Event()

    def hurry(self) -> None:
        """List again at once."""
        self._due.set()

    async def run(self, beat: Callable[[], None]) -> None:
        """For ever; ``beat`` at each try."""
        while True:
            self._due.clear()
            pause = PERIOD * (0.8 + 0.4 * self._chance())
            try:
                self._heard(frozenset(await self._cluster.list_jobs()))
                self.listed.set()
            except ClusterError as error:
                log.warning("jobs could not be listed", extra={"error": str(error)})
                pause = max(AGAIN, error.retry_after)
            beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()
