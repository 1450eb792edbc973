"""What rang since the last pass is told to the next one, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.doorbell import Doorbell

KEY = Key("team", "shelves")


def test_each_pass_is_told_what_rang_before_it() -> None:
    """What rings during a pass belongs to the next one."""
    told: list[frozenset[str]] = []

    async def reconcile(key: Key, heard: frozenset[str]) -> timedelta | None:
        told.append(heard)
        if len(told) == 1:
            doorbell.hear(key, "8")
        return None

    doorbell = Doorbell(reconcile)
    doorbell.hear(KEY, "7")
    doorbell.hear(KEY)
    doorbell.hear(Key("team", "other"))
    for _ in range(3):
        asyncio.run(doorbell(KEY))

    assert [frozenset({"7", ""}), frozenset({"8"}), frozenset()] == told
