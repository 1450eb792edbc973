"""The list of all jobs, again and again."""

from __future__ import annotations

import asyncio
import time

import pytest

from fake_cluster import KEY, FakeCluster
from rfdetr_operator.shell import resync
from rfdetr_operator.shell.cluster import Key, Unavailable
from rfdetr_operator.shell.resync import Resync


class Busy(FakeCluster):
    """Its first list is refused."""

    refusals = 1

    async def list_jobs(self) -> tuple[Key, ...]:
        """Nothing yet, then all jobs."""
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("list jobs: 429", 0.3)
        return await super().list_jobs()


def test_a_refused_list_is_asked_for_again_when_the_api_server_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not sooner, although its own pause is shorter."""
    monkeypatch.setattr(resync, "AGAIN", 0.0)
    heard: list[frozenset[Key]] = []

    async def play() -> float:
        began = time.monotonic()
        listing = Resync(Busy(), heard.append, lambda: 0.5)
        task = asyncio.create_task(listing.run(lambda: None))
        await listing.listed.wait()
        task.cancel()
        return time.monotonic() - began

    assert asyncio.run(play()) >= 0.3
    assert [frozenset({KEY})] == heard
