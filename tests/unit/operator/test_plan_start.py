"""From create to Running: the attempt, the claims, the children, and what a user sees meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import (
    START,
    make_claims,
    make_job,
    make_progress,
    make_report,
    make_worker,
    read_names,
    read_story,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_operator.api.v1alpha1 import (
    BatchPlanStatus,
    Status,
    WorldStatus,
)
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Claim, Notice, PodPhase


def test_an_attempt_is_stored_before_any_pod_of_it_is_made() -> None:
    """The first plan raises the attempt and creates nothing; the next one makes the children."""
    first = run_plan(make_job(), service=False)
    second = run_plan(with_status(make_job(), first), service=False)

    assert (1, [], True) == (first.status.attempt, read_names(first), first.again)
    assert (first.status, ["shelves-ranks", "shelves-0", "shelves-1"]) == (second.status, read_names(second))


def test_a_started_job_says_what_it_runs_with() -> None:
    """Batch plan, resolution, world, nodes and selector are there from the first write."""
    status = start_job().status

    assert (
        BatchPlanStatus(per_device=4, accumulation=2, ranks=2, effective=16),
        576,
        WorldStatus(expected=2),
        2,
        "rfdetr.io/job-name=shelves,app.kubernetes.io/managed-by=rfdetr-operator",
        "2026-01-02T03:04:05Z",
    ) == (
        status.batch_plan,
        status.resolution,
        status.world,
        status.nodes,
        status.selector,
        status.start_time,
    )


def test_a_templated_claim_is_made_after_the_service_and_before_the_pods() -> None:
    """A pod without its claim would only wait."""
    job = start_job(checkpoints={"volumeClaimTemplate": {"storage": "1Gi"}})
    claims = {"shelves-checkpoints": None}

    found = run_plan(job, service=False, claims=claims)
    assert ["shelves-ranks", "shelves-checkpoints", "shelves-0", "shelves-1"] == read_names(found)


def test_a_moved_resolution_is_said_once() -> None:
    """A preset's size that the variant does not take is an event at the first start."""
    found = run_plan(make_job(memoryPreset="40GB"))

    assert found.notices[-1] == Notice(
        "Normal",
        "ResolutionAdjusted",
        "memoryPreset 40GB asks for 784 pixels; medium takes multiples of 32, so 800 is used",
    )


@pytest.mark.parametrize(
    ("claims", "reason", "sentence"),
    [
        (
            {"data": None, "out": Claim("out", ("ReadWriteMany",))},
            "ClaimNotFound",
            "dataset.claimName: PersistentVolumeClaim data does not exist in namespace team",
        ),
        (
            {"data": Claim("data", ("ReadOnlyMany",)), "out": None},
            "ClaimNotFound",
            "checkpoints.claimName: PersistentVolumeClaim out does not exist in namespace team",
        ),
        (
            make_claims("ReadWriteOnce"),
            "ClaimNotReadWriteMany",
            "checkpoints.claimName: 2 nodes need a claim with access mode ReadWriteMany; out has ReadWriteOnce",
        ),
    ],
)
def test_a_claim_that_does_not_fit_is_waited_for(claims: Any, reason: str, sentence: str) -> None:
    """Nothing is made, the sentence names the claim, and it is looked at again."""
    found = run_plan(make_job(), claims=claims)

    assert ("Pending", reason, sentence) == read_story(found)
    assert (None, [], timedelta(seconds=15), (Notice("Warning", reason, sentence),)) == (
        found.status.attempt,
        read_names(found),
        found.requeue_after,
        found.notices,
    )


def test_one_node_takes_a_claim_of_its_own() -> None:
    """ReadWriteOnce is enough when nobody shares."""
    assert 1 == run_plan(make_job(nodes=1), claims=make_claims("ReadWriteOnce")).status.attempt


def test_a_spec_that_can_never_be_fails_without_a_try() -> None:
    """Accepted is False and says why; nothing is retried."""
    found = run_plan(make_job(model={"resolution": 600}))
    accepted = find_condition(found.status, "Accepted")

    assert accepted is not None
    assert ("Failed", "False", "InvalidSpec", None, None) == (
        found.status.phase,
        accepted.status,
        accepted.reason,
        found.status.attempt,
        found.requeue_after,
    )


def test_a_running_job_goes_on_while_its_new_spec_is_refused() -> None:
    """Its pods are left alone and Accepted says why."""
    running = run_job()
    changed = make_job(running.status, generation=2, nodes=3)

    found = run_plan(changed, make_worker(0), make_worker(1))
    accepted = find_condition(found.status, "Accepted")
    assert accepted is not None
    assert ("Running", "False", (), ()) == (found.status.phase, accepted.status, found.delete, found.create)


def test_a_job_runs_when_every_rank_does() -> None:
    """The second of two status writes between create and Running."""
    found = run_plan(start_job(), make_worker(0), make_worker(1))

    assert ("Running", "AllRanksRunning", "all 2 node ranks run") == read_story(found)
    assert (timedelta(seconds=5), True) == (found.requeue_after, found.poll)


def test_a_half_started_job_changes_no_condition() -> None:
    """One of two ranks runs: only the display moves."""
    job = start_job()
    found = run_plan(job, make_worker(0), make_worker(1, PodPhase.PENDING))

    assert job.status.conditions == found.status.conditions
    assert found.status.display is not None
    assert "1/2" == found.status.display.nodes


def test_a_rank_that_cannot_start_is_named() -> None:
    """The user need not look for the pod."""
    stuck = make_worker(1, PodPhase.PENDING, waiting="ImagePullBackOff")

    assert (
        "Starting",
        "Starting",
        "node rank 1 waits: ImagePullBackOff; see: kubectl describe pod shelves-1",
    ) == read_story(run_plan(start_job(), make_worker(0), stuck))


def test_a_live_report_is_progress_and_no_decision() -> None:
    """The row moves; phase and conditions do not."""
    job = run_job()
    found = run_plan(
        job, make_worker(0), make_worker(1), report=make_report(progress=make_progress()), report_time=START
    )

    assert found.status.display is not None
    assert ("3/12", job.status.conditions) == (found.status.display.epoch, found.status.conditions)


def test_an_unknown_phase_of_another_release_is_no_obstacle() -> None:
    """A status without an attempt starts."""
    assert 1 == run_plan(make_job(Status(phase="Sleeping"))).status.attempt
