"""The work queue: a key is never worked on twice at once, and whatever rings while it is being worked on rings once more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Generic, TypeVar

from rfdetr_operator.shell.cluster import ClusterError

log = logging.getLogger(__name__)

K = TypeVar("K")

FIRST_BACKOFF: Final = 0.2  # seconds
LONGEST_BACKOFF: Final = 60.0  # seconds
DEADLINE: Final = 60.0  # seconds that one pass may take


class WorkQueue(Generic[K]):
    """Keys for a handler: runs on the leading edge, removes duplicates, backs off by key, and honours due times.

    ``chance`` returns a number from 0 to 1 and spreads the back-off; ``observe`` is told how a pass went and how long
    it took.
    """

    def __init__(
        self,
        handler: Callable[[K], Awaitable[timedelta | None]],
        chance: Callable[[], float],
        workers: int = 8,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        self._handler = handler
        self._chance = chance
        self._observe = observe or (lambda _result, _seconds: None)
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}  # since when, in loop time
        self._busy: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._count = workers
        self._workers: list[asyncio.Task[None]] = []
        self._open = True
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Start the workers in the running loop."""
        self._workers = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._count)]

    def add(self, key: K) -> None:
        """Ring: the key is worked on as soon as a worker is free, or once more if it is being worked on."""
        if key in self._waiting or not self._open:
            return
        self._waiting[key] = asyncio.get_running_loop().time()
        if key not in self._busy:
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Ring later; of two due times the earlier one stands."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if not self._open or (timer is not None and timer.when() <= loop.time() + seconds):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(max(seconds, 0), self._ring, key)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Seconds that the oldest waiting key has waited."""
        return asyncio.get_running_loop().time() - min(self._waiting.values()) if self._waiting else 0.0

    async def drain(self, seconds: float) -> None:
        """Take no more keys, let what is being worked on end for at most so long, then stop the workers."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _ring(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            if not self._open:
                continue
            self._waiting.pop(key, None)
            self._busy.add(key)
            self._idle.clear()
            if (timer := self._timers.pop(key, None)) is not None:
                timer.cancel()  # this pass says anew when the next one is due
            try:
                await self._run(key)
            finally:
                self._busy.discard(key)
                if not self._busy:
                    self._idle.set()
                if key in self._waiting:
                    self._ready.put_nowait(key)

    async def _run(self, key: K) -> None:
        loop = asyncio.get_running_loop()
        started, result = loop.time(), "ok"
        try:
            async with asyncio.timeout(DEADLINE):
                after = await self._handler(key)
            self._failures.pop(key, None)
            if after is not None:
                self.add_after(key, after.total_seconds())
        except Exception as error:  # noqa: BLE001 - whatever it was, the key must be tried again
            result = type(error).__name__
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            asked = error.retry_after if isinstance(error, ClusterError) else 0.0
            delay = choose_backoff(failures, self._chance(), asked)
            log.warning(
                "pass failed", extra={"job": str(key), "error": f"{result}: {error}", "again_in": round(delay, 2)}
            )
            self.add_after(key, delay)
        self._observe(result, loop.time() - started)


def choose_backoff(failures: int, chance: float, asked: float = 0.0) -> float:
    """Seconds until the next try: doubled at each failure, at most a minute, spread by +-30 %.

    ``asked``: what the API server wants at the least; its spread only lengthens it, so that no crowd comes back at once.
    """
    doubled: float = FIRST_BACKOFF * 2 ** min(failures - 1, 16)
    return max(min(doubled, LONGEST_BACKOFF) * (0.7 + 0.6 * chance), asked * (1 + 0.3 * chance))
