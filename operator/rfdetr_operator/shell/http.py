"""The operator's own HTTP server: alive, ready, metrics. It is up before anything else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from rfdetr_operator.shell.metrics import Metrics

STUCK_AFTER = 300.0  # seconds that a key may wait before the operator calls itself ill


@dataclass(slots=True)
class Health:
    """What the probes ask: that the queue moves, and that no loop has stopped beating. ``tick`` measures."""

    oldest: Callable[[], float]
    ready: Callable[[], bool]
    tick: Callable[[], float]
    _beats: dict[str, tuple[float, float]] = field(default_factory=dict)

    def expect(self, name: str, within: float) -> Callable[[], None]:
        """A loop that is to beat at least every so many seconds; what it calls at each beat."""

        def beat() -> None:
            self._beats[name] = (self.tick(), within)

        beat()
        return beat

    def complain(self) -> str:
        """What is wrong; empty: nothing is. An API server that is away is nothing that a restart would mend."""
        oldest = self.oldest()
        if oldest > STUCK_AFTER:
            return f"a job has waited {oldest:.0f} s for a reconcile"
        for name, (last, within) in self._beats.items():
            if (silent := self.tick() - last) > within:
                return f"{name} has not moved for {silent:.0f} s"
        return ""


def build_application(health: Health, metrics: Metrics) -> web.Application:
    """The three paths."""
    scraping = asyncio.Lock()

    async def healthz(_request: web.Request) -> web.Response:
        complaint = health.complain()
        return web.Response(status=503, text=f"{complaint}\n") if complaint else web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if health.ready() else web.Response(status=503, text="starting\n")

    async def show_metrics(_request: web.Request) -> web.Response:
        async with scraping:  # many scrapers are served in turn; the loop itself only copies a few numbers
            metrics.sample()
            body = await asyncio.to_thread(metrics.render)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

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
