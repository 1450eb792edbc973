"""The operator's probes and its scrape."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import ClientSession, web

from rfdetr_operator.shell.http import Health, build_application
from rfdetr_operator.shell.metrics import Metrics


class Slow(Metrics):
    """Metrics that take a fifth of a second."""

    def render(self) -> bytes:
        time.sleep(0.2)
        return super().render()


def make_health(oldest: float = 0.0, tick: float = 0.0) -> tuple[Health, list[float]]:
    """Health of an operator, and its clock."""
    clock = [tick]
    return Health(lambda: oldest, lambda: True, lambda: clock[0]), clock


def test_an_operator_whose_loops_beat_is_well() -> None:
    """However often they fail: that the API is away is nothing that a restart would mend."""
    health, clock = make_health()
    beat = health.expect("the lease", 10)
    for _ in range(5):
        clock[0] += 9
        beat()

    assert "" == health.complain()


@pytest.mark.parametrize(
    ("oldest", "passed", "sentence"),
    [
        (301, 0, "a job has waited 301 s for a reconcile"),
        (0, 11, "the lease has not moved for 11 s"),
    ],
)
def test_an_operator_that_stands_still_says_what_does(oldest: float, passed: float, sentence: str) -> None:
    """The kubelet restarts it."""
    health, clock = make_health(oldest)
    health.expect("the lease", 10)
    clock[0] += passed

    assert sentence == health.complain()


def test_a_scrape_does_not_stop_the_loop() -> None:
    """Several slow ones at once: it goes on turning meanwhile, where one that waited for them would not."""

    async def run() -> tuple[int, list[int]]:
        runner = web.AppRunner(build_application(make_health()[0], Slow()), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        turns = 0

        async def scrape() -> int:
            async with ClientSession() as session, session.get(url) as response:
                await response.read()
                return response.status

        scrapes = [asyncio.create_task(scrape()) for _ in range(3)]
        while not all(each.done() for each in scrapes):
            await asyncio.sleep(0.005)
            turns += 1
        await runner.cleanup()
        return turns, [each.result() for each in scrapes]

    turns, codes = asyncio.run(run())
    assert ([200] * 3, True) == (codes, turns > 20)
