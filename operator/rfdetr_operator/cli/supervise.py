"""One run from start to end: reconcile, show, do harm, and listen to Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp

from rfdetr_operator.cli.view import View, keep_showing
from rfdetr_operator.core.model import Notice, PodPhase, Worker
from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.local import LocalCluster
from rfdetr_operator.shell.local_container import LOOPBACK
from rfdetr_operator.shell.local_harm import Harm
from rfdetr_operator.shell.local_run import beside, do_harm, reconcile_until_over
from rfdetr_operator.shell.local_session import Session
from rfdetr_operator.shell.reconcile import Reconciler
from rfdetr_operator.shell.reports import HttpReports

PACES = CoreSettings(
    progress_interval=timedelta(seconds=0.5), poll_interval=timedelta(seconds=1), node_lost=timedelta(0)
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants to happen on the way; ``timeout`` in seconds."""

    harms: tuple[Harm, ...] = ()
    timeout: float | None = None


def suspend(cluster: LocalCluster, why: str) -> None:
    """Every rank saves and the pods go."""
    cluster.tell(Notice("Normal", "Suspending", f"{why}: saving; Ctrl-C again kills at once"))
    cluster.write_spec({"suspend": True})


@asynccontextmanager
async def listening(cluster: LocalCluster, work: asyncio.Task[None]) -> AsyncIterator[None]:
    """The first SIGINT or SIGTERM suspends, the next one ends the work."""
    loop = asyncio.get_running_loop()
    told: list[str] = []

    def hear(name: str) -> None:
        told.append(name)
        if len(told) == 1:
            suspend(cluster, name)
        else:
            work.cancel()

    heard = (signal.SIGINT, signal.SIGTERM)
    for number in heard:
        loop.add_signal_handler(number, hear, number.name)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


async def suspend_after(cluster: LocalCluster, seconds: float | None) -> None:
    """Suspend when the time is over; never without one."""
    if seconds is None:
        return
    await asyncio.sleep(seconds)
    suspend(cluster, f"--timeout {seconds:g}")


async def supervise(session: Session, view: View, wishes: Wishes, clock: Callable[[], datetime]) -> bool:
    """Run until the job is over; True when it was killed on the way. No process of it is left either way."""
    cluster, key = session.cluster, session.store.key
    first = Worker(node_rank=0, name="", uid="", attempt=0, phase=PodPhase.RUNNING, ip=LOOPBACK)
    async with aiohttp.ClientSession() as http:
        reports = HttpReports(http, session.ports.http[0])
        reconciler = Reconciler(cluster, reports, PACES, clock)
        work = asyncio.create_task(reconcile_until_over(cluster, reconciler, key))
        try:
            async with (
                listening(cluster, work),
                beside(
                    keep_showing(cluster, view, clock),
                    do_harm(cluster, wishes.harms, lambda: reports.read(key, first)),
                    suspend_after(cluster, wishes.timeout),
                ),
            ):
                await asyncio.wait([work])
        finally:
            work.cancel()
            await cluster.close()
    if work.cancelled():
        return True
    work.result()
    return False
