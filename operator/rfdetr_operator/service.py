"""The operator as a whole: the lease, the queue, the HTTP server, the resync, and kopf as the doorbell, in one loop.

The exit code is 0 after SIGTERM and 1 when a watcher failed or another operator leads: crash-only, the next start reads
the truth again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import kopf

from rfdetr_operator.shell.cluster import Cluster, Key
from rfdetr_operator.shell.doorbell import OTHER, Doorbell
from rfdetr_operator.shell.elector import Alone, Clocks, Elector, Leadership, LeaseTerms
from rfdetr_operator.shell.handlers import IDENTITY, Ring, build_settings, register
from rfdetr_operator.shell.http import Health, build_application, serve
from rfdetr_operator.shell.kubernetes import Connection, Fenced, connect
from rfdetr_operator.shell.kubernetes_cluster import KubernetesCluster
from rfdetr_operator.shell.logs import set_up_logs
from rfdetr_operator.shell.metrics import Metrics
from rfdetr_operator.shell.proxied_reports import ProxiedReports
from rfdetr_operator.shell.queue import WorkQueue
from rfdetr_operator.shell.reconcile import Reconciler
from rfdetr_operator.shell.reports import HttpReports, Reports
from rfdetr_operator.shell.resync import PERIOD, Resync
from rfdetr_operator.shell.selftest import run_selftest
from rfdetr_operator.shell.settings import ReportsVia, Settings, SettingsError, read_settings

log = logging.getLogger("rfdetr_operator")

DRAIN: Final = 2.0  # seconds that passes under way may take at the end
LEASE_BEAT: Final = 120.0  # seconds in which the lease must have been tried
TICK: Final = time.monotonic


def read_version() -> str:
    """The release of this code; unknown when it runs from a folder."""
    try:
        return importlib.metadata.version("rfdetr-operator")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def build_leadership(settings: Settings, connection: Connection) -> Leadership:
    """A candidate for the lease, or the only operator there is."""
    lease = settings.lease
    if lease is None:
        return Alone()
    terms = LeaseTerms(lease.namespace, lease.name, lease.identity, lease.seconds)
    return Elector(connection, terms, Clocks(TICK, lambda: datetime.now(UTC), random.random))


@asynccontextmanager
async def open_reports(settings: Settings, connection: Connection) -> AsyncIterator[Reports]:
    """Where live reports come from."""
    if settings.reports_via is ReportsVia.API_PROXY:
        yield ProxiedReports(connection)
        return
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session:
        yield HttpReports(session)


def build_doorbell(cluster: Cluster, reports: Reports, settings: Settings, metrics: Metrics) -> Doorbell:
    """The reconcile behind its doorbell."""
    return Doorbell(Reconciler(cluster, reports, settings.core, lambda: datetime.now(UTC), metrics.observe_job))


@asynccontextmanager
async def open_queue(doorbell: Doorbell, metrics: Metrics) -> AsyncIterator[WorkQueue[Key]]:
    """The queue, not started; at the end what is under way may finish."""
    queue = WorkQueue(doorbell, random.random, observe=metrics.observe_pass)
    metrics.watch("rfdetr_operator_queue_depth", lambda: queue.depth)
    metrics.watch("rfdetr_operator_queue_oldest_seconds", lambda: queue.oldest)
    try:
        yield queue
    finally:
        await queue.drain(DRAIN)


def claim_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the flag and do nothing else."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def watch(ring: Ring, connection: Connection, settings: Settings, stop: asyncio.Event) -> None:
    """Run kopf until a watcher fails or the task is cancelled."""
    registry = kopf.OperatorRegistry()
    register(registry, ring, connection.read_credentials)
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=build_settings(random.random),
        identity=IDENTITY,
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        memo=kopf.Memo(),
    )
    claim_signals(stop)  # kopf has just taken them, and would leave without our drain
    await kopf.run_tasks(tasks, ignored=ours)


class Service:
    """What the loops share: who leads, and what happens when that changes."""

    def __init__(self, queue: WorkQueue[Key], doorbell: Doorbell, cluster: Cluster, metrics: Metrics) -> None:
        self.resync = Resync(cluster, self._hear, random.random)
        self.leads = asyncio.Event()
        self._queue = queue
        self._doorbell = doorbell
        self._metrics = metrics

    def gain(self) -> None:
        """Lead, for the first time or again: whatever happened meanwhile is looked at."""
        if not self.leads.is_set():
            self._queue.start()
            self.leads.set()
        self.resync.hurry()

    def ring(self, key: Key, version: str = OTHER) -> None:
        """Something of the job changed, or may have."""
        self._doorbell.hear(key, version)
        self._queue.add(key)

    def _hear(self, jobs: frozenset[Key]) -> None:
        if self.leads.is_set():
            for key in jobs | self._metrics.find_gone(jobs):
                self.ring(key)

    async def watch(self, connection: Connection, settings: Settings, stop: asyncio.Event) -> None:
        """The doorbell. kopf looks for the resource once, so it starts when jobs could be listed: the CRD is there, the API answers."""
        await self.leads.wait()
        await self.resync.listed.wait()
        await watch(self.ring, connection, settings, stop)


async def run(settings: Settings, stop: asyncio.Event) -> int:
    """Serve until told to stop; the exit code."""
    metrics = Metrics()
    metrics.tell_build(read_version(), settings.revision)
    async with AsyncExitStack() as stack:
        connection = await connect(settings.kubeconfig, metrics.observe_call)
        stack.push_async_callback(connection.close)
        leadership = build_leadership(settings, connection)
        metrics.watch("rfdetr_operator_leader", leadership.may_write)
        stack.push_async_callback(leadership.release)
        cluster = KubernetesCluster(Fenced(connection, leadership.may_write), settings.namespaces, settings.instance)
        reports = await stack.enter_async_context(open_reports(settings, connection))
        doorbell = build_doorbell(cluster, reports, settings, metrics)
        queue = await stack.enter_async_context(open_queue(doorbell, metrics))
        service = Service(queue, doorbell, cluster, metrics)
        health = Health(lambda: queue.oldest, lambda: service.resync.listed.is_set() and leadership.was_reached(), TICK)
        runner = await serve(build_application(health, metrics), settings.http_port)
        stack.push_async_callback(runner.cleanup)
        # kopf cancels at its end every task that is younger than itself: everything else is older
        beside = {
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(leadership.run(service.gain, health.expect("the lease", LEASE_BEAT)), name="lease"),
            asyncio.create_task(service.resync.run(health.expect("the resync", 3 * PERIOD)), name="resync"),
            asyncio.create_task(service.watch(connection, settings, stop), name="watch"),
        }
        log.info("serving", extra={"namespaces": settings.namespaces or "all", "port": settings.http_port})
        done, _ = await asyncio.wait(beside, return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    return report_end(done, stopped=stop.is_set())


def report_end(done: set[asyncio.Task[Any]], *, stopped: bool) -> int:
    """The exit code, and which loop ended by itself."""
    if stopped:
        return 0
    for task in done:
        error = task.exception()
        log.error("ended by itself", extra={"loop": task.get_name(), "error": f"{type(error).__name__}: {error}"})
    return 1


async def run_until_signalled(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    claim_signals(stop)
    return await run(settings, stop)


def main() -> int:
    """The operator's exit code."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"rfdetr-operator: {error}\n")
        return 64
    if sys.argv[1:2] == ["selftest"]:
        return run_selftest(settings, sys.argv[2:])
    set_up_logs(settings.log_level)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run_until_signalled(settings))
    return 0
