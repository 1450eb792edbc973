"""Pods of this machine behave as the kubelet's do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from local.machines import (
    KEY,
    create_pod,
    make_cluster,
    pods_of,
    processes_with,
    wait_for_phase,
    wait_for_text,
    wait_until_gone,
)
from rfdetr_operator.core.model import Delete
from rfdetr_operator.shell.cluster import Conflict

LOG = "default/toy/pods/toy-0.log"


def terminated(pod: dict[str, Any]) -> dict[str, Any]:
    """How the container ended, without the time."""
    state = dict(pod["status"]["containerStatuses"][0]["state"]["terminated"])
    del state["finishedAt"]
    return state


@pytest.mark.parametrize(
    ("script", "phase", "expected"),
    [
        ("echo done > $WORDS", "Succeeded", {"exitCode": 0, "reason": "Completed", "message": "done\n"}),
        ("exit 75", "Failed", {"exitCode": 75, "reason": "Error"}),
        ("kill -SEGV $$", "Failed", {"exitCode": 139, "reason": "Error", "signal": 11}),
    ],
)
def test_an_ended_pod_tells_its_exit_code_and_last_words(
    tmp_path: Path, script: str, phase: str, expected: dict[str, Any]
) -> None:
    """The same fields that the kubelet fills."""

    async def live() -> dict[str, Any]:
        cluster = make_cluster(tmp_path)
        await create_pod(cluster, script)
        pod = await wait_for_phase(cluster, "Succeeded", "Failed")
        await cluster.close()
        return pod

    pod = asyncio.run(live())

    assert (phase, expected) == (pod["status"]["phase"], terminated(pod))


def test_a_deleted_pod_hears_sigterm_and_goes_when_it_has_ended(tmp_path: Path) -> None:
    """Process 1 alone hears it; the object stays, marked, until the container is gone."""

    async def live() -> dict[str, Any]:
        cluster = make_cluster(tmp_path)
        await create_pod(cluster, "trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done")
        pod = await wait_for_phase(cluster, "Running")
        await wait_for_text(tmp_path / LOG, "ready")
        await cluster.delete(KEY, Delete("toy-0", pod["metadata"]["uid"]))
        marked = (await pods_of(cluster))[0]
        await wait_until_gone(cluster)
        return marked

    marked = asyncio.run(live())

    assert "deletionTimestamp" in marked["metadata"]
    assert "ready\nsaved\n" == (tmp_path / LOG).read_text()


def test_a_pod_that_does_not_leave_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    """And everything that it started goes with it, daemons too."""

    async def live() -> None:
        cluster = make_cluster(tmp_path)
        await create_pod(cluster, "trap '' TERM; setsid sleep 60 & echo ready; sleep 60", grace=1)
        pod = await wait_for_phase(cluster, "Running")
        await wait_for_text(tmp_path / LOG, "ready")
        await cluster.delete(KEY, Delete("toy-0", pod["metadata"]["uid"]))
        await wait_until_gone(cluster)

    asyncio.run(live())

    assert [] == processes_with(str(tmp_path))


def test_a_delete_of_another_incarnation_does_nothing(tmp_path: Path) -> None:
    """A pod is deleted by its uid."""

    async def live() -> list[dict[str, Any]]:
        cluster = make_cluster(tmp_path)
        await create_pod(cluster, "sleep 60")
        await wait_for_phase(cluster, "Running")
        await cluster.delete(KEY, Delete("toy-0", "somebody-else", grace=0))
        left = await pods_of(cluster)
        await cluster.close()
        return left

    (left,) = asyncio.run(live())

    assert "Running" == left["status"]["phase"]
    assert "deletionTimestamp" not in left["metadata"]


def test_a_closed_cluster_leaves_no_process(tmp_path: Path) -> None:
    """Not even one that was still being started."""

    async def live() -> None:
        cluster = make_cluster(tmp_path)
        await create_pod(cluster, "setsid sleep 60 & sleep 60")
        await cluster.close()

    asyncio.run(live())

    assert [] == processes_with(str(tmp_path))


def test_a_stale_status_write_is_a_conflict(tmp_path: Path) -> None:
    """Somebody wrote in between; null removes a field, as in a merge-patch."""

    async def live() -> tuple[dict[str, Any], str]:
        cluster = make_cluster(tmp_path)
        await cluster.write_status(KEY, "1", {"phase": "Running", "display": {"map": "0.1"}})
        with pytest.raises(Conflict):
            await cluster.write_status(KEY, "1", {"phase": "Failed"})
        job = await cluster.write_status(KEY, "2", {"display": {"map": None, "eta": "1m"}})
        return job["status"], job["metadata"]["resourceVersion"]

    assert ({"phase": "Running", "display": {"eta": "1m"}}, "3") == asyncio.run(live())
