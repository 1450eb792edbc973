"""Run one job on this machine until it ends: reconcile at each ring of the bell, do harm when asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta

from rfdetr_contract.report import RunReport
from rfdetr_operator.api.v1alpha1 import Condition, TrainingJob, parse_job
from rfdetr_operator.core.model import Notice
from rfdetr_operator.shell.cluster import Conflict, Key, Unavailable
from rfdetr_operator.shell.local import LocalCluster
from rfdetr_operator.shell.local_harm import Harm, is_due
from rfdetr_operator.shell.local_pods import LocalPod

Reconcile = Callable[[Key], Coroutine[None, None, timedelta | None]]
ReadReport = Callable[[], Coroutine[None, None, RunReport | None]]
HARM_PACE = 0.2  # seconds between two looks at rank 0's report
RETRY = 0.2  # seconds after somebody wrote in between


def true_condition(job: TrainingJob, kind: str) -> Condition | None:
    """The condition of a type, when it holds."""
    return next((each for each in job.status.conditions if each.type == kind and each.status == "True"), None)


def refusal(job: TrainingJob) -> Condition | None:
    """Why the job was not accepted, if it was not."""
    return next((each for each in job.status.conditions if each.type == "Accepted" and each.status == "False"), None)


def is_finished(job: TrainingJob) -> bool:
    """Whether it ended, well or badly."""
    return bool(true_condition(job, "Complete") or true_condition(job, "Failed"))


def is_over(job: TrainingJob) -> bool:
    """Whether nothing more will happen: it ended, it is suspended as wished, or it was not accepted."""
    if is_finished(job):
        return True
    if job.spec.suspend and true_condition(job, "Suspended"):
        return True
    return refusal(job) is not None


async def reconcile_until_over(cluster: LocalCluster, reconcile: Reconcile, key: Key) -> None:
    """The operator's loop for one key: at each ring, and when the last pass asked for it."""
    while True:
        cluster.bell.clear()
        try:
            due = await reconcile(key)
        except (Conflict, Unavailable):
            due = timedelta(seconds=RETRY)
        if is_over(parse_job(cluster.job)):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else due.total_seconds()):
                await cluster.bell.wait()


def execute_harm(cluster: LocalCluster, harm: Harm, pod: LocalPod) -> None:
    """Delete the pod as a reclaim does, or kill its processes as a crash does; said as an event."""
    if harm.kind == "kill":
        cluster.tell(Notice("Normal", "Requested", f"{harm}: kills every process of pod {pod.name}"))
        pod.kill()
    else:
        cluster.tell(Notice("Normal", "Requested", f"{harm}: deletes pod {pod.name} gracefully"))
        pod.delete(None)
        cluster.bell.set()


async def do_harm(cluster: LocalCluster, harms: tuple[Harm, ...], read: ReadReport) -> None:
    """Each harm once, when its moment has come and its rank runs."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    waiting = list(harms)
    while waiting:
        report = await read()
        for harm in tuple(waiting):
            pod = cluster.pod_of_rank(harm.rank)
            if pod is None or not is_due(harm, report, loop.time() - begun):
                continue
            waiting.remove(harm)
            execute_harm(cluster, harm, pod)
        await asyncio.sleep(HARM_PACE)


@asynccontextmanager
async def beside(*companions: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Tasks that end when the block ends; what one of them raised is raised then."""
    tasks = [asyncio.create_task(companion) for companion in companions]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
