"""What the cluster does not allow, and what a user does not wait for: told in the API server's own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.harness.cluster import wait_until
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, PodFields
from cluster.jobs import Kubectl, Watched, copy_digits, make_job, start, write_digits

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator", "output")]


@pytest.fixture
def data(dataset: Claim, tmp_path: Path) -> Claim:
    """The claim `data` with a detection set in its folder `digits`."""
    copy_digits(write_digits(tmp_path / "set"), dataset)
    return dataset


def write_quota(kubectl: Kubectl, namespace: str, pods: int) -> None:
    """Room for so many pods in the namespace."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "room"},
        "spec": {"hard": {"pods": str(pods)}},
    }
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(quota))
    wait_until(
        "the quota is counted",
        lambda: kubectl("-n", namespace, "get", "quota", "room", "-o", "jsonpath={.status.hard.pods}") == str(pods),
    )


def test_half_a_gang_does_not_hold_what_a_quota_leaves(
    kubectl: Kubectl, namespace: str, data: Claim, pod_fields: PodFields, timings: Stopwatch
) -> None:
    """Room for one of two pods: the job says so, no pod stays, and with more room it runs without a hand laid on."""
    write_quota(kubectl, namespace, 1)
    job = start(kubectl, namespace, make_job("long", pod_fields, {"training": {"epochs": 400}}))
    timings.add(
        "apply to the refusal told", job.wait("a refusal", lambda _: job.condition("Running")[1] == "CreateRefused", 30)
    )
    timings.add("no pod is left", wait_until("no pod is left", lambda: job.pods() == [], seconds=60))
    message = job.condition("Running")[2]
    write_quota(kubectl, namespace, 3)
    timings.add("more room to Running", job.wait_for_phase("Running", 120))

    restarts = job.status()["restarts"]
    assert "exceeded quota: room, requested: pods=1, used: pods=1, limited: pods=1" in message
    assert (0, 0) == (restarts["counted"], restarts["preemptions"])


def test_a_start_that_cannot_succeed_ends_in_time_and_leaves_nothing(
    kubectl: Kubectl, namespace: str, data: Claim, pod_fields: PodFields, timings: Stopwatch
) -> None:
    """An image that is not there: the job fails with what it waited for, its pods go, and later the job itself."""
    limits = {"runPolicy": {"startupDeadlineSeconds": 8, "ttlSecondsAfterFailed": 5}}
    nowhere = {**pod_fields, "image": "localhost/nowhere:1", "imagePullPolicy": "Never"}
    job = start(kubectl, namespace, make_job("long", nowhere, limits))
    timings.add("apply to Failed", job.wait_for_phase("Failed", 60))
    status, reason, message = job.condition("Failed")
    timings.add("Failed to no pod", wait_until("no pod is left", lambda: job.pods() == [], seconds=60))
    timings.add("to no job", wait_until("the job is gone", lambda: not is_there(job), seconds=60))

    assert ("True", "StartupDeadlineExceeded") == (status, reason)
    assert message.startswith(
        "0 of 2 pods ran after 8 s (runPolicy.startupDeadlineSeconds); last seen: node rank 0 waits: ErrImage"
    )


def is_there(job: Watched) -> bool:
    """The job exists."""
    return job.kubectl("-n", job.namespace, "get", "rfj", "--ignore-not-found", "-o", "name") != ""
