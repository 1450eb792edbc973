"""Pulling a report from a pod that says anything: only a report is believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from builders import make_progress, make_report, make_worker
from fake_cluster import KEY
from rfdetr_contract.report import RunReport
from rfdetr_operator.shell.reports import HttpReports

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REPORT = make_report(progress=make_progress())


def read(handler: Handler, ip: str | None = "127.0.0.1") -> RunReport | None:
    """What is heard of a pod whose ``/report`` is this."""

    async def run() -> RunReport | None:
        application = web.Application()
        application.add_routes([web.get("/report", handler), web.get("/elsewhere", say(REPORT.model_dump_json()))])
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as session:
                return await HttpReports(session, port).read(KEY, make_worker(0, ip=ip))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def say(text: str, status: int = 200) -> Handler:
    """A pod that says this."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return handler


async def redirect(_request: web.Request) -> web.Response:
    """A pod that points elsewhere."""
    raise web.HTTPFound("/elsewhere")


async def sleep(_request: web.Request) -> web.Response:
    """A pod that never answers."""
    await asyncio.sleep(30)
    return web.Response()


def test_a_report_is_read() -> None:
    """Whole."""
    assert REPORT == read(say(REPORT.model_dump_json()))


@pytest.mark.parametrize(
    "handler",
    [
        say("nonsense"),
        say('{"outcome": "running", "surprise": 1}'),
        say(REPORT.model_dump_json(), 500),
        say(" " * 70000 + REPORT.model_dump_json()),
        redirect,
    ],
    ids=["nonsense", "unknown key", "error", "too long", "redirect"],
)
def test_anything_else_is_not_believed(handler: Handler) -> None:
    """No redirect is followed, no more than 64 KiB are read."""
    assert read(handler) is None


def test_a_pod_that_does_not_answer_costs_two_seconds() -> None:
    """Not more."""
    began = time.monotonic()

    assert (None, True) == (read(sleep), time.monotonic() - began < 4)


def test_a_pod_without_an_address_is_not_asked() -> None:
    """It has none before it runs."""
    assert read(say(REPORT.model_dump_json()), ip=None) is None
