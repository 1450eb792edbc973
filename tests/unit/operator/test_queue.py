"""The work queue: no duplicates, no overlap, back-off by key, due times, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from rfdetr_operator.shell.cluster import Unavailable
from rfdetr_operator.shell.queue import WorkQueue, choose_backoff

Handler = Callable[[str], Awaitable[timedelta | None]]


class Recorder:
    """A handler that remembers, and works as long as it is told to."""

    def __init__(self, seconds: float = 0.0, fails: int = 0, after: timedelta | None = None) -> None:
        self.seen: list[str] = []
        self.running: set[str] = set()
        self.overlaps = 0
        self._seconds, self._fails, self._after = seconds, fails, after

    async def __call__(self, key: str) -> timedelta | None:
        self.overlaps += key in self.running
        self.running.add(key)
        self.seen.append(key)
        await asyncio.sleep(self._seconds)
        self.running.discard(key)
        if self._fails:
            self._fails -= 1
            raise ValueError("not now")
        after, self._after = self._after, None
        return after


async def work(handler: Handler, use: Callable[[WorkQueue[str]], Awaitable[None]], workers: int = 4) -> None:
    """A queue in use, then drained."""
    queue = WorkQueue(handler, lambda: 0.5, workers)
    queue.start()
    await use(queue)
    await queue.drain(1)


def test_a_key_that_rings_often_is_worked_on_once() -> None:
    """Rings before the first pass are one."""
    recorder = Recorder()

    async def use(queue: WorkQueue[str]) -> None:
        for _ in range(5):
            queue.add("a")
        await asyncio.sleep(0.02)

    asyncio.run(work(recorder, use))
    assert ["a"] == recorder.seen


def test_a_key_is_never_worked_on_twice_at_once() -> None:
    """A ring during a pass is one more pass after it."""
    recorder = Recorder(seconds=0.03)

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.01)
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(0.1)

    asyncio.run(work(recorder, use))
    assert (["a", "a"], 0) == (recorder.seen, recorder.overlaps)


def test_another_key_does_not_wait() -> None:
    """Workers take different keys side by side."""
    recorder = Recorder(seconds=0.05)

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(0.01)
        assert {"a", "b"} == recorder.running

    asyncio.run(work(recorder, use))


def test_a_key_that_failed_is_tried_again() -> None:
    """Whatever the error was."""
    recorder = Recorder(fails=1)

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.3)

    asyncio.run(work(recorder, use))
    assert ["a", "a"] == recorder.seen


def test_a_pass_says_when_the_next_one_is_due() -> None:
    """Without a ring."""
    recorder = Recorder(after=timedelta(seconds=0.02))

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.1)

    asyncio.run(work(recorder, use))
    assert ["a", "a"] == recorder.seen


def test_of_two_due_times_the_earlier_one_stands() -> None:
    """A later one does not push it away, and a pass takes it back."""
    recorder = Recorder()

    async def use(queue: WorkQueue[str]) -> None:
        queue.add_after("a", 0.02)
        queue.add_after("a", 5)
        await asyncio.sleep(0.06)
        queue.add_after("b", 0.02)
        queue.add("b")
        await asyncio.sleep(0.06)

    asyncio.run(work(recorder, use))
    assert ["a", "b"] == recorder.seen


def test_a_drained_queue_lets_a_pass_end_and_takes_nothing_new() -> None:
    """What was under way is done, what rings later is left to the next start."""
    recorder = Recorder(seconds=0.05)

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.01, queue.add, "b")

    asyncio.run(work(recorder, use))
    assert (["a"], set()) == (recorder.seen, recorder.running)


def test_depth_and_age_are_those_of_waiting_keys() -> None:
    """One worker is busy, so two keys wait."""
    recorder = Recorder(seconds=0.1)

    async def use(queue: WorkQueue[str]) -> None:
        for key in "abc":
            queue.add(key)
        await asyncio.sleep(0.03)
        assert (2, True) == (queue.depth, queue.oldest >= 0.02)

    asyncio.run(work(recorder, use, workers=1))


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"), [(1, 0.5, 0.2), (3, 0.5, 0.8), (30, 0.5, 60.0), (30, 0.0, 42.0), (30, 1.0, 78.0)]
)
def test_the_backoff_doubles_is_capped_and_spread(failures: int, chance: float, seconds: float) -> None:
    """From 0.2 seconds to a minute, by +-30 %."""
    assert seconds == pytest.approx(choose_backoff(failures, chance))


@pytest.mark.parametrize(("failures", "chance", "seconds"), [(1, 0.0, 10.0), (1, 1.0, 13.0), (30, 0.5, 60.0)])
def test_the_backoff_is_never_shorter_than_the_api_server_asks(failures: int, chance: float, seconds: float) -> None:
    """Its ten seconds are the least, whatever the chance; a longer back-off stands."""
    assert seconds == pytest.approx(choose_backoff(failures, chance, 10.0))


def test_a_key_waits_as_long_as_the_api_server_asks() -> None:
    """A failure without such a wish is tried again after 0.2 s."""
    seen: list[str] = []

    async def refuse(key: str) -> timedelta | None:
        seen.append(key)
        raise Unavailable("429", 30.0) if key == "busy" else Unavailable("500")

    async def use(queue: WorkQueue[str]) -> None:
        queue.add("busy")
        queue.add("broken")
        await asyncio.sleep(0.3)

    asyncio.run(work(refuse, use))
    assert (1, 2) == (seen.count("busy"), seen.count("broken"))
