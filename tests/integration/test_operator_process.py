"""The operator as its own process against an API server over HTTP: what kopf does and does not do to it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from aiohttp import web

from builders import NAMESPACE
from fake_api import FakeApi
from operator_stage import PATIENCE, Stage, is_write, play, run_job
from rfdetr_contract import names
from rfdetr_contract.metrics import OPERATOR


def test_kopf_only_rings_the_bell(tmp_path: Path) -> None:
    """A job runs, loses a pod and gets it back; not one write is kopf's, no object carries a mark of it."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))

        writers = {seen.agent.split("/")[0] for seen in stage.api.seen if is_write(seen)}
        assert {"OpenAPI-Generator"} == writers
        marked = [key for key, body in stage.api.objects.items() if "kopf" in json.dumps(body).lower()]
        assert [] == marked

    play(tmp_path, scene)


def test_sigterm_ends_the_operator_in_time(tmp_path: Path) -> None:
    """Exit code 0 in under five seconds, with jobs running."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        code, seconds = await stage.leave()
        assert (0, True) == (code, seconds < 5)

    play(tmp_path, scene)


def test_a_failed_watcher_ends_the_operator(tmp_path: Path) -> None:
    """An operator that hears nothing must not look alive: exit code 1."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.api.watchers) == 2)
        stage.api.break_watches(500)
        assert 1 == await asyncio.wait_for(stage.operator.wait(), PATIENCE)

    play(tmp_path, scene)


def test_a_watch_that_is_too_old_is_begun_again(tmp_path: Path) -> None:
    """410 Gone is everyday life; what happens afterwards is seen."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.api.watchers) == 2)
        stage.api.break_watches(410)
        stage.submit()
        await stage.until(lambda: len(stage.api.named("pods")) == 2)

    play(tmp_path, scene)


@pytest.mark.parametrize("status", [503, 429])
def test_an_outage_of_the_api_is_survived(tmp_path: Path, status: int) -> None:
    """Readiness was reached before; afterwards the lost pod comes back."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.answer = web.HTTPServiceUnavailable() if status == 503 else web.HTTPTooManyRequests()
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await asyncio.sleep(1)
        stage.api.answer = None
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))

    play(tmp_path, scene)


@pytest.mark.parametrize("answer", [web.HTTPServiceUnavailable, web.HTTPTooManyRequests])
def test_an_overloaded_api_is_left_alone_as_long_as_it_asks(
    tmp_path: Path, answer: type[web.HTTPServiceUnavailable | web.HTTPTooManyRequests]
) -> None:
    """Retry-After: 3 after the first refusal is three seconds without a call for the job."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.answer = answer(headers={"Retry-After": "3"})
        before, began = len(stage.api.seen), time.monotonic()
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await stage.until(lambda: any(f"{names.PLURAL}/" in seen.path for seen in stage.api.seen[before:]))
        stage.api.answer = None
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))
        assert time.monotonic() - began >= 3

    play(tmp_path, scene)


def test_a_crd_that_comes_late_is_seen(tmp_path: Path) -> None:
    """Alive and not ready until then."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: any(names.PLURAL in seen.path for seen in stage.api.seen))
        assert [200, 503] == [(await stage.get("/healthz"))[0], (await stage.get("/readyz"))[0]]
        stage.api.has_crd = True
        await run_job(stage)
        assert 200 == (await stage.get("/readyz"))[0]

    play(tmp_path, scene, FakeApi(has_crd=False))


def test_the_operators_metrics_are_those_of_the_contract(tmp_path: Path) -> None:
    """Every family that it exports is on the one list, and the job is counted under its phase."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        _, text = await stage.get("/metrics")
        found = {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE")}
        assert {each.name.removesuffix("_total") for each in OPERATOR} == found
        told = {
            'rfdetr_jobs{namespace="team",phase="Running"} 1.0',
            'rfdetr_job_status_condition{namespace="team",job_name="shelves",condition="Running",status="true"} 1.0',
            "rfdetr_operator_leader 1.0",
        }
        assert told == told & set(text.splitlines())

    play(tmp_path, scene)
