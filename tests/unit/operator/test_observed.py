"""JSON of pods to workers: the trainer's own end counts, and the cluster's word before the container's."""

from __future__ import annotations

from typing import Any

import pytest

from builders import JOB, SETTINGS, UID, make_report, start_job
from rfdetr_contract.report import Outcome
from rfdetr_operator.core.manifests import build_pod, build_service
from rfdetr_operator.core.model import Claim, PodPhase, Worker
from rfdetr_operator.core.observed import observe, read_worker

Body = dict[str, Any]


def make_pod(status: Body, **meta: Any) -> Body:
    """A pod of rank 0 as the API server has it."""
    pod = build_pod(start_job(), 0, "{}", SETTINGS)
    pod["metadata"] |= {"uid": "pod-0", **meta}
    return {**pod, "status": status}


def make_status(phase: str, state: Body, **more: Any) -> Body:
    """A status with the trainer's container state, beside a sidecar."""
    sidecar = {"name": "mesh", "state": {"running": {}}}
    return {"phase": phase, "containerStatuses": [sidecar, {"name": "trainer", "state": state}], **more}


def read(status: Body, **meta: Any) -> Worker:
    """The worker of a status."""
    worker = read_worker(make_pod(status, **meta))
    assert worker is not None
    return worker


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({}, PodPhase.PENDING),
        ({"phase": "Pending"}, PodPhase.PENDING),
        (make_status("Pending", {"waiting": {"reason": "ContainerCreating"}}), PodPhase.PENDING),
        (make_status("Running", {"running": {}}), PodPhase.RUNNING),
        (make_status("Running", {"terminated": {"exitCode": 0}}), PodPhase.SUCCEEDED),
        (make_status("Running", {"terminated": {"exitCode": 1}}), PodPhase.FAILED),
        (make_status("Succeeded", {"terminated": {"exitCode": 0}}), PodPhase.SUCCEEDED),
        ({"phase": "Failed", "reason": "Evicted"}, PodPhase.FAILED),
        ({"phase": "Unknown"}, PodPhase.RUNNING),
    ],
)
def test_the_phase_is_the_trainers(status: Body, phase: PodPhase) -> None:
    """A sidecar that outlives the trainer hides nothing; an unreachable node is no evidence of an end."""
    assert phase == read(status).phase


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (make_status("Failed", {"terminated": {"exitCode": 1, "reason": "Error"}}), ""),
        (make_status("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), "OOMKilled"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            make_status(
                "Failed",
                {"terminated": {"exitCode": 137, "reason": "Error"}},
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
            ),
            "PreemptionByScheduler",
        ),
    ],
)
def test_who_ended_it(status: Body, cause: str) -> None:
    """Plain errors have no cause beside their report."""
    assert cause == read(status).signal_reason


def test_a_termination_message_is_a_report() -> None:
    """The whole worker of a pod that saved and left."""
    report = make_report(Outcome.PREEMPTED)
    ended = {"exitCode": 75, "reason": "Error", "message": report.to_termination_message()}

    found = read(
        make_status("Failed", {"terminated": ended}, podIP="10.0.0.7"), deletionTimestamp="2026-01-02T03:04:05Z"
    )
    assert (
        Worker(
            node_rank=0,
            name="shelves-0",
            uid="pod-0",
            attempt=1,
            phase=PodPhase.FAILED,
            terminating=True,
            exit_code=75,
            report=report,
            ip="10.0.0.7",
            run_config="{}",
        )
        == found
    )


@pytest.mark.parametrize("message", ["", "Traceback", "[]", '{"outcome": "great"}', '{"outcome": "failed", "x": 1}'])
def test_a_bad_message_is_no_report(message: str) -> None:
    """What a user's code prints there is not believed."""
    assert read(make_status("Failed", {"terminated": {"exitCode": 1, "message": message}})).report is None


def test_what_is_not_owned_is_foreign() -> None:
    """A pod and a Service of an earlier job of the same name are no workers of this one."""
    job = start_job()
    pod, service = make_pod({}), build_service(job)
    for body in (pod, service):
        body["metadata"]["ownerReferences"] = [{"uid": f"not-{UID}"}]

    found = observe(JOB, UID, [pod], [service], {})
    assert ((), False, ("shelves-0", "shelves-ranks")) == (found.workers, found.service, found.foreign)


def test_a_claim_is_its_access_modes_and_one_that_lacks_is_none() -> None:
    """The plan needs no more of them."""
    claims = {"data": {"spec": {"accessModes": ["ReadOnlyMany"]}}, "out": None}

    assert {"data": Claim("data", ("ReadOnlyMany",)), "out": None} == observe(JOB, UID, [], [], claims).claims
