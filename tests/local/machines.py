"""A local cluster with pods of any command, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rfdetr_operator.core.model import Create
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.local import LocalCluster, Machine
from rfdetr_operator.shell.local_container import Argv, Ports
from rfdetr_operator.shell.local_store import Store

KEY = Key("default", "toy")
JOB = {
    "metadata": {"name": "toy", "namespace": "default", "uid": "uid-toy", "generation": 1, "resourceVersion": "1"},
    "spec": {"suspend": False},
}


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def as_it_is(argv: Argv) -> Argv:
    """The command of the manifest."""
    return argv


def make_cluster(root: Path) -> LocalCluster:
    """A cluster of the toy job."""
    return LocalCluster(Store(root, KEY), JOB, Machine(Ports(20000, (20001, 20002)), 1, now, command=as_it_is))


def make_pod(script: str, grace: int = 30, rank: int = 0) -> dict[str, Any]:
    """A pod whose container is a shell script; ``$WORDS`` is its termination message's file."""
    env = [{"name": "WORDS", "value": "/dev/termination-log"}]
    return {
        "metadata": {"name": f"toy-{rank}", "labels": {"rfdetr.io/job-name": "toy", "rfdetr.io/node-rank": str(rank)}},
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": "trainer", "command": ["sh", "-c", script], "env": env}],
        },
    }


async def create_pod(cluster: LocalCluster, script: str, grace: int = 30) -> None:
    """Create the pod of rank 0."""
    await cluster.create(KEY, Create("Pod", make_pod(script, grace)), "uid-toy")


async def pods_of(cluster: LocalCluster) -> list[dict[str, Any]]:
    """The pods that are there."""
    return list((await cluster.list_children(KEY, ())).pods)


async def wait_for_phase(cluster: LocalCluster, *phases: str) -> dict[str, Any]:
    """The one pod, once it is in one of the phases."""
    async with asyncio.timeout(10):
        while True:
            for pod in await pods_of(cluster):
                if pod["status"]["phase"] in phases:
                    return pod
            await asyncio.sleep(0.01)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Until a condition holds."""
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def wait_for_text(path: Path, text: str) -> None:
    """Until a file has the text."""
    await wait_until(lambda: path.exists() and text in path.read_text())


async def wait_until_gone(cluster: LocalCluster) -> None:
    """Until no pod is there."""
    async with asyncio.timeout(10):
        while True:
            if not await pods_of(cluster):
                return
            await asyncio.sleep(0.01)


def processes_with(mark: str) -> list[int]:
    """Living processes whose environment or command has the mark; zombies have neither."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in text:
                found.append(int(entry.name))
    return found
