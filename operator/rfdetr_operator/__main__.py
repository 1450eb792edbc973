"""``python -m rfdetr_operator``: the queue, the HTTP server, the resync, and kopf as the doorbell, in one loop.

The exit code is 0 after SIGTERM and 1 when a watcher failed: crash-only, the next start reads the truth again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import aiohttp
import kopf

from rfdetr_operator.shell.cluster import Cluster, ClusterError, Key
from rfdetr_operator.shell.handlers import IDENTITY, build_settings, register
from rfdetr_operator.shell.http import Health, build_application, serve
from rfdetr_operator.shell.kubernetes import Connection, KubernetesCluster, connect
from rfdetr_operator.shell.metrics import Metrics
from rfdetr_operator.shell.queue import WorkQueue
from rfdetr_operator.shell.reconcile import Reconciler
from rfdetr_operator.shell.reports import HttpReports
from rfdetr_operator.shell.settings import Settings, SettingsError, read_settings

log = logging.getLogger("rfdetr_operator")

RESYNC: Final = 300.0  # seconds, +-20 %
FIRST_RESYNC_AGAIN: Final = 5.0  # seconds after a resync that failed
DRAIN: Final = 2.0  # seconds that passes under way may take at the end
RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with what the caller said in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {key: value for key, value in vars(record).items() if key not in RECORD}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**said, **line}, default=str)


def set_up_logs(level: int) -> None:
    """JSON on standard error; kopf and the clients are heard from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


async def resync(cluster: Cluster, queue: WorkQueue[Key], health: Health, listed: asyncio.Event) -> None:
    """Ring for every job now and every five minutes: it mends whatever event was lost."""
    while True:
        pause = RESYNC * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret
        try:
            for key in await cluster.list_jobs():
                queue.add(key)
            health.ready = True
            listed.set()
        except ClusterError as error:
            log.warning("jobs could not be listed", extra={"error": str(error)})
            pause = FIRST_RESYNC_AGAIN
        await asyncio.sleep(pause)


@asynccontextmanager
async def running_queue(cluster: Cluster, settings: Settings, metrics: Metrics) -> AsyncIterator[WorkQueue[Key]]:
    """The queue with its workers; at the end what is under way may finish."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session:
        reconciler = Reconciler(
            cluster, HttpReports(session), settings.core, lambda: datetime.now(UTC), metrics.observe_job
        )
        queue = WorkQueue(reconciler, random.random, observe=metrics.observe_pass)
        queue.start()
        metrics.watch_queue(lambda: queue.depth, lambda: queue.oldest)
        try:
            yield queue
        finally:
            await queue.drain(DRAIN)


def claim_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the flag and do nothing else."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def watch(
    queue: WorkQueue[Key], connection: Connection, settings: Settings, stop: asyncio.Event, listed: asyncio.Event
) -> None:
    """Run kopf until a watcher fails or the task is cancelled.

    kopf looks for the resource once, so it starts when jobs could be listed: the CRD is there and the API answers.
    """
    await listed.wait()
    registry = kopf.OperatorRegistry()
    register(registry, queue.add, connection.read_credentials)
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


async def run(settings: Settings, stop: asyncio.Event) -> int:
    """Serve until told to stop; the exit code."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        connection = await connect(settings.kubeconfig, metrics.observe_call)
        stack.push_async_callback(connection.close)
        cluster = KubernetesCluster(connection, settings.namespaces, settings.instance)
        queue = await stack.enter_async_context(running_queue(cluster, settings, metrics))
        health = Health(lambda: queue.oldest)
        runner = await serve(build_application(health, metrics), settings.http_port)
        stack.push_async_callback(runner.cleanup)
        listed = asyncio.Event()
        beside = asyncio.create_task(resync(cluster, queue, health, listed))
        # kopf cancels at its end every task that is younger than itself: everything else is older
        stopped = asyncio.create_task(stop.wait())
        watcher = asyncio.create_task(watch(queue, connection, settings, stop, listed))
        log.info("serving", extra={"namespaces": settings.namespaces or "all", "port": settings.http_port})
        await asyncio.wait({watcher, stopped, beside}, return_when=asyncio.FIRST_COMPLETED)
        failed = not stop.is_set()
        for task in (watcher, beside, stopped):
            task.cancel()
        results = await asyncio.gather(watcher, beside, return_exceptions=True)
    if failed:
        log.error("a watcher failed", extra={"errors": [f"{type(each).__name__}: {each}" for each in results]})
    return 1 if failed else 0


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
    set_up_logs(settings.log_level)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run_until_signalled(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
