"""The operator's own HTTP server: alive, ready, metrics. It is up before anything else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from rfdetr_operator.shell.metrics import Metrics

STUCK_AFTER = 300.0  # seconds that a key may wait before the operator calls itself ill


@dataclass(slots=True)
class Health:
    """What the probes ask: ``ready`` once the first list of jobs has come back."""

    oldest: Callable[[], float]
    ready: bool = False


def build_application(health: Health, metrics: Metrics) -> web.Application:
    """The three paths."""

    async def healthz(_request: web.Request) -> web.Response:
        oldest = health.oldest()
        if oldest > STUCK_AFTER:
            return web.Response(status=503, text=f"a job has waited {oldest:.0f} s for a reconcile\n")
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if health.ready else web.Response(status=503, text="starting\n")

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)]
    )
    return application


async def serve(application: web.Application, port: int) -> web.AppRunner:
    """Start serving; the runner is to be cleaned up at the end."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
