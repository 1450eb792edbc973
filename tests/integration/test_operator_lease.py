"""Two operators and one lease: who takes over, how soon, and that the other one writes nothing."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from aiohttp import web

from builders import NAMESPACE
from fake_api import FakeApi
from operator_stage import PATIENCE, Stage, play, play_two, read_holder, run_job

SECONDS = 3


async def read_leader(stage: Stage) -> str:
    """What an operator says of itself."""
    lines = (await stage.get("/metrics"))[1].splitlines()
    return next(line for line in lines if line.startswith("rfdetr_operator_leader"))


def test_one_leads_and_the_other_is_ready_and_writes_nothing(tmp_path: Path) -> None:
    """A rolling update has no gap: the new one is ready before the old one goes."""

    async def scene(first: Stage, second: Stage) -> None:
        await run_job(first)
        said = [await read_leader(stage) for stage in (first, second)]
        codes = [(await second.get(path))[0] for path in ("/healthz", "/readyz")]

        assert ["rfdetr_operator_leader 1.0", "rfdetr_operator_leader 0.0"] == said
        assert ([200, 200], []) == (codes, second.writes())

    play_two(tmp_path, scene, SECONDS)


def test_a_leader_that_is_told_to_go_is_followed_within_two_seconds(tmp_path: Path) -> None:
    """It gives the lease back; the pod that is lost meanwhile comes back."""

    async def scene(first: Stage, second: Stage) -> None:
        await run_job(first)
        code, _ = await first.leave()
        began = time.monotonic()
        first.api.remove("pods", NAMESPACE, "shelves-1")
        await second.until(lambda: "shelves-1" in second.api.named("pods"))
        passed = time.monotonic() - began

        assert (0, "second", True) == (code, read_holder(second.api), passed < 2)

    play_two(tmp_path, scene, 60)


def test_a_leader_that_is_killed_is_followed_after_the_lease(tmp_path: Path) -> None:
    """Nobody says goodbye."""

    async def scene(first: Stage, second: Stage) -> None:
        await run_job(first)
        first.operator.kill()
        await first.operator.wait()
        began = time.monotonic()
        first.api.remove("pods", NAMESPACE, "shelves-1")
        await second.until(lambda: "shelves-1" in second.api.named("pods"))
        passed = time.monotonic() - began

        assert passed < SECONDS + 2.5

    play_two(tmp_path, scene, SECONDS)


def test_a_leader_that_was_frozen_writes_nothing_when_it_thaws(tmp_path: Path) -> None:
    """A pod was lost and made again by the other one meanwhile; it ends by itself, to stand by anew."""

    async def scene(first: Stage, second: Stage) -> None:
        await run_job(first)
        first.operator.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.2)  # what was on its way has arrived
        written = len(first.writes())
        first.api.remove("pods", NAMESPACE, "shelves-1")
        await second.until(lambda: "shelves-1" in second.api.named("pods"))
        first.api.remove("pods", NAMESPACE, "shelves-0")
        first.operator.send_signal(signal.SIGCONT)
        code = await asyncio.wait_for(first.operator.wait(), PATIENCE)
        await second.until(lambda: "shelves-0" in second.api.named("pods"))

        assert (1, []) == (code, [(seen.method, seen.path) for seen in first.writes()[written:]])

    play_two(tmp_path, scene, SECONDS)


def test_an_outage_of_the_api_longer_than_the_lease_ends_no_operator(tmp_path: Path) -> None:
    """Nobody else can lead meanwhile: it goes on with the same process."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.answer = web.HTTPServiceUnavailable()
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await asyncio.sleep(SECONDS + 1)
        fenced = await read_leader(stage)
        stage.api.answer = None
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))

        assert ("rfdetr_operator_leader 0.0", None) == (fenced, stage.operator.returncode)

    lease = str(SECONDS)
    play(tmp_path, scene, RFDETR_LEADER_ELECTION="true", POD_NAMESPACE="system", RFDETR_LEASE_SECONDS=lease)


def test_an_operator_that_may_not_touch_the_lease_is_not_ready(tmp_path: Path) -> None:
    """It serves nobody: a rollout must not go on over it, and its log says why."""
    api = FakeApi(forbidden={"leases"})

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: any("leases" in seen.path for seen in api.seen))
        await stage.until(lambda: "forbidden" in stage.log.read_text())
        await asyncio.sleep(0.5)
        codes = [(await stage.get(path))[0] for path in ("/healthz", "/readyz")]

        assert [200, 503] == codes

    play(tmp_path, scene, api, RFDETR_LEADER_ELECTION="true", POD_NAMESPACE="system")
