"""The writes of the reconcile, counted at the verbs of local mode's cluster; the pods only wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.result import Say, WentWrong
from cluster.jobs import make_job
from rfdetr_contract import names
from rfdetr_contract.report import RunReport
from rfdetr_operator.core.model import Create, Delete, NodeState, Notice, Worker
from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.cluster import Body, Children, Cluster, ClusterError, Key
from rfdetr_operator.shell.local_container import Argv
from rfdetr_operator.shell.local_session import Home, Session, job_key, open_session
from rfdetr_operator.shell.local_store import Store
from rfdetr_operator.shell.reconcile import Reconciler

SECONDS = 20  # for a job whose pods only wait


class Counting:
    """A cluster that counts what is written to the one behind it."""

    def __init__(self, behind: Cluster) -> None:
        self._behind = behind
        self.counted: Counter[str] = Counter()

    async def list_jobs(self) -> tuple[Key, ...]:
        return await self._behind.list_jobs()

    async def get_job(self, key: Key) -> Body | None:
        return await self._behind.get_job(key)

    async def list_children(self, key: Key, claims: tuple[str, ...]) -> Children:
        return await self._behind.list_children(key, claims)

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        self.counted[f"create {what.kind}"] += 1
        await self._behind.create(key, what, owner_uid)

    async def delete(self, key: Key, what: Delete) -> None:
        self.counted["delete Pod"] += 1
        await self._behind.delete(key, what)

    async def remove_job(self, key: Key, uid: str) -> None:
        self.counted["delete job"] += 1
        await self._behind.remove_job(key, uid)

    async def read_node(self, name: str) -> NodeState | None:
        return await self._behind.read_node(name)

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        self.counted["patch status"] += 1
        return await self._behind.write_status(key, resource_version, status)

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        self.counted["events"] += 1
        await self._behind.emit(key, uid, notice)


class Silent:
    """A pod that only waits has no report."""

    async def read(self, key: Key, worker: Worker) -> RunReport | None:  # noqa: ARG002 - the signature is the protocol's
        return None


def waiting_command(_: Argv) -> Argv:
    return ("sleep", "60")


def now() -> datetime:
    return datetime.now(UTC)


async def reconcile_until_running(session: Session) -> Counter[str]:
    """As the operator does: at each ring of the bell, until the stored phase is Running."""
    counting, key = Counting(session.cluster), session.store.key
    reconcile = Reconciler(counting, Silent(), CoreSettings(), now)
    try:
        async with asyncio.timeout(SECONDS):
            while session.job.status.phase != "Running":
                session.cluster.bell.clear()
                due: timedelta | None
                try:
                    due = await reconcile(key)
                except ClusterError:
                    due = timedelta(seconds=0.2)
                if session.job.status.phase == "Running":
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(session.cluster.bell.wait(), due.total_seconds() if due else 1)
    except TimeoutError:
        raise WentWrong(f"the job is {session.job.status.phase} after {SECONDS} s, not Running") from None
    finally:
        await session.cluster.close()
    return counting.counted


def count_job(folder: Path, manifest: dict[str, Any]) -> Counter[str]:
    (folder / "data" / "digits").mkdir(parents=True, exist_ok=True)
    home = Home(folder / "state", {"data": folder / "data"}, waiting_command)
    store = Store(home.root, job_key(manifest))
    with store.locked():
        return asyncio.run(reconcile_until_running(open_session(store, manifest, home, now)))


def count_jobs(folder: Path, jobs: int, nodes: int, say: Say) -> list[Counter[str]]:
    counts: list[Counter[str]] = []
    for number in range(jobs):
        manifest = make_job(f"writes-{number}", {}, {"nodes": nodes})
        counts.append(count_job(folder, manifest))
        say(f"{names.KIND} writes-{number} runs after {dict(counts[-1])}")
    return counts
