"""The plan, rule by rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import (
    START,
    later,
    make_claims,
    make_crashed,
    make_done,
    make_ended,
    make_job,
    make_preempted,
    make_progress,
    make_report,
    make_worker,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_contract.report import FailureReason, Judgement, Outcome
from rfdetr_operator.api.v1alpha1 import (
    BatchPlanStatus,
    Restarts,
    ResultStatus,
    Status,
    TrainingJob,
    WorldStatus,
)
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Claim, Delete, Notice, Plan, PodPhase


def made(found: Plan) -> list[str]:
    """Names of what a plan creates."""
    return [each.manifest["metadata"]["name"] for each in found.create]


def told(found: Plan) -> tuple[str | None, str, str]:
    """Phase, reason and sentence of a plan."""
    condition = find_condition(found.status, "Running")
    assert condition is not None
    return found.status.phase, condition.reason, condition.message


def count(found: Plan) -> tuple[int, int]:
    """Counted failures and preemptions."""
    restarts = found.status.restarts or Restarts()
    return restarts.counted, restarts.preemptions


def test_an_attempt_is_stored_before_any_pod_of_it_is_made() -> None:
    """The first plan raises the attempt and creates nothing; the next one makes the children."""
    first = run_plan(make_job(), service=False)
    second = run_plan(with_status(make_job(), first), service=False)

    assert (1, [], True) == (first.status.attempt, made(first), first.again)
    assert (first.status, ["shelves-ranks", "shelves-0", "shelves-1"]) == (second.status, made(second))


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
    assert ["shelves-ranks", "shelves-checkpoints", "shelves-0", "shelves-1"] == made(found)


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

    assert ("Pending", reason, sentence) == told(found)
    assert (None, [], timedelta(seconds=15), (Notice("Warning", reason, sentence),)) == (
        found.status.attempt,
        made(found),
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


def test_a_refused_spec_that_is_mended_starts() -> None:
    """Another generation is judged anew."""
    refused = run_plan(make_job(nodes=3))
    mended = make_job(refused.status, generation=2, nodes=2)

    assert "Starting" == run_plan(mended).status.phase


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

    assert ("Running", "AllRanksRunning", "all 2 node ranks run") == told(found)
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
    ) == told(run_plan(start_job(), make_worker(0), stuck))


def test_a_preempted_worker_does_not_spend_the_budget() -> None:
    """It is counted as a preemption, its object is removed, and the reason is told."""
    found = run_plan(run_job(), make_worker(0), make_preempted(1))

    assert ((0, 1), ["pod-1"], (Delete("shelves-1", "pod-1", 0),)) == (
        count(found),
        found.status.counted_pods,
        found.delete,
    )
    assert ("Restarting", "Preempted", "node rank 1 is being replaced after a preemption") == told(found)


def test_a_preempted_worker_is_counted_once() -> None:
    """The operator died between the count and the delete: the next pass only deletes."""
    first = run_plan(run_job(), make_worker(0), make_preempted(1))
    again = run_plan(with_status(run_job(), first), make_worker(0), make_preempted(1))

    assert (first.status, first.delete) == (again.status, again.delete)


def test_a_worker_that_is_being_deleted_is_waited_for() -> None:
    """Its name is taken until it is gone; then its rank is made again at once."""
    job = run_job()
    leaving = run_plan(job, make_worker(0), make_worker(1, terminating=True))
    waiting = run_plan(with_status(job, leaving), make_worker(0), make_worker(1, terminating=True))
    gone = run_plan(with_status(job, leaving), make_worker(0))

    assert [(0, 1), (), [], ["shelves-1"]] == [count(leaving), leaving.delete, made(waiting), made(gone)]


def test_a_pod_that_vanished_is_a_preemption() -> None:
    """Force-deleted, or gone with its node: counted in one plan, made in the next."""
    first = run_plan(run_job(), make_worker(0))
    second = run_plan(with_status(run_job(), first), make_worker(0))

    assert ((0, 1), [], True) == (count(first), made(first), first.again)
    assert ((0, 1), ["shelves-1"]) == (count(second), made(second))


def test_a_failure_spends_the_budget_and_waits() -> None:
    """The first one waits a second, and the status says what happened."""
    job = run_job()
    failed = run_plan(job, make_worker(0), make_crashed(1))
    early = run_plan(with_status(job, failed), make_worker(0), now=later(0.4))
    due = run_plan(with_status(job, failed), make_worker(0), now=later(1))

    assert ("Restarting", "WorkerFailed", "node rank 1: it broke (restart 1 of 10)") == told(failed)
    assert ((1, 0), [], timedelta(seconds=0.6), ["shelves-1"]) == (
        count(failed),
        made(early),
        early.requeue_after,
        made(due),
    )


@pytest.mark.parametrize(("counted", "seconds"), [(1, 1), (2, 2), (5, 16), (7, 60), (99, 60)])
def test_the_wait_doubles_up_to_a_minute(counted: int, seconds: int) -> None:
    """The due time follows from the status alone."""
    job = run_job(runPolicy={"maxRestarts": 200})
    status = job.status.model_copy(
        update={
            "restarts": Restarts(counted=counted),
            "last_failure_time": "2026-01-02T03:04:05Z",
            "phase": "Restarting",
        }
    )

    found = run_plan(job.model_copy(update={"status": status}), make_worker(0))
    assert timedelta(seconds=seconds) == found.requeue_after


def test_deaths_that_are_seen_together_are_one_failure() -> None:
    """The rank with a cause is named; the one that only lost its peer is its victim."""
    victim, culprit = make_crashed(0, FailureReason.PEER_LOST), make_crashed(1)
    found = run_plan(run_job(), victim, culprit)

    assert ((1, 0), "node rank 1: it broke (restart 1 of 10)") == (count(found), told(found)[2])


def test_a_lost_peer_soon_after_a_failure_is_not_counted_again() -> None:
    """It belongs to the same incident."""
    job = run_job()
    failed = run_plan(job, make_worker(0), make_crashed(1))
    later_on = run_plan(with_status(job, failed), make_crashed(0, FailureReason.PEER_LOST), now=later(10))

    assert ((1, 0), (Delete("shelves-0", "pod-0", 0),)) == (count(later_on), later_on.delete)


def test_a_spent_budget_fails_the_job() -> None:
    """The last reason is named, the survivors are deleted, the dead pod is kept for its log."""
    found = run_plan(run_job(runPolicy={"maxRestarts": 0}), make_worker(0), make_crashed(1))

    assert (
        "Failed",
        "BackoffLimitExceeded",
        "more than 0 restarts (runPolicy.maxRestarts); the last failure: node rank 1: it broke",
    ) == told(found)
    assert (Delete("shelves-0", "pod-0", None),) == found.delete


@pytest.mark.parametrize(
    "reason", [FailureReason.CONFIG_ERROR, FailureReason.DATA_ERROR, FailureReason.WORLD_SIZE_MISMATCH]
)
def test_a_permanent_failure_ends_the_job_at_once(reason: FailureReason) -> None:
    """No restart mends it, so none is tried."""
    found = run_plan(start_job(), make_worker(0), make_crashed(1, reason))

    assert ("Failed", reason.value, "node rank 1: it broke") == told(found)
    assert ((0, 0), (Delete("shelves-0", "pod-0", None),), "2026-01-02T03:04:05Z") == (
        count(found),
        found.delete,
        found.status.completion_time,
    )


@pytest.mark.parametrize(
    ("outcome", "reason"), [(Outcome.COMPLETED, "Completed"), (Outcome.EARLY_STOPPED, "EarlyStopped")]
)
def test_a_job_is_complete_when_every_rank_says_so(outcome: Outcome, reason: str) -> None:
    """The result comes from rank 0; the pods are kept for their logs."""
    found = run_plan(run_job(), make_ended(0, make_done(0, outcome)), make_ended(1, make_done(1, outcome)))
    complete = find_condition(found.status, "Complete")

    assert complete is not None
    assert ("Succeeded", "True", reason, ()) == (
        found.status.phase,
        complete.status,
        complete.reason,
        found.delete,
    )
    assert (
        ResultStatus(
            best_checkpoint="team/shelves/job-uid/rfdetr/checkpoint_best_total.pth",
            map50_95="0.4200",
            map50="0.6000",
            evaluators_agree=True,
            steps_redone=0,
        )
        == found.status.result
    )


def test_a_complete_job_shows_its_last_row() -> None:
    """All nodes did their part, and no time is left."""
    display = ended().status.display

    assert display is not None
    assert ("12/12", "-", "2/2") == (display.epoch, display.eta, display.nodes)


def test_evaluators_that_disagree_are_a_warning() -> None:
    """The job is complete all the same."""
    judged = Judgement(map50_95=0.4, map50=0.6, reported=0.5, tolerance=0.001, agrees=False)
    report = make_done().model_copy(update={"judgement": judged})
    found = run_plan(run_job(), make_ended(0, report), make_ended(1, make_done(1)))

    assert (
        Notice(
            "Warning",
            "EvaluatorsDisagree",
            "RF-DETR's evaluator said mAP 50:95 0.5000, pycocotools' COCOeval says 0.4000 (tolerance 0.001)",
        )
        == found.notices[-1]
    )


def test_an_exit_code_without_a_report_is_no_success() -> None:
    """A wrong image that ends well has trained nothing."""
    silent = make_worker(1, PodPhase.SUCCEEDED, exit_code=0)
    found = run_plan(run_job(), make_ended(0, make_done(0)), silent)

    assert ("Restarting", (1, 0)) == (found.status.phase, count(found))


def test_a_rank_that_is_done_waits_for_the_others() -> None:
    """Ranks do not end in the same instant."""
    found = run_plan(run_job(), make_ended(0, make_done(0)), make_worker(1))

    assert ("Running", (), []) == (found.status.phase, found.delete, made(found))


def test_a_rank_that_is_done_is_replaced_with_one_that_is_lost() -> None:
    """The gang ends together or not at all."""
    found = run_plan(run_job(), make_ended(0, make_done(0)), make_preempted(1))

    assert (Delete("shelves-0", "pod-0", 0), Delete("shelves-1", "pod-1", 0)) == found.delete


def ended(reason: FailureReason | None = None) -> TrainingJob:
    """A job that has ended."""
    job = run_job()
    workers = (
        [make_ended(rank, make_done(rank)) for rank in (0, 1)]
        if reason is None
        else [make_crashed(0, reason), make_worker(1)]
    )
    return with_status(job, run_plan(job, *workers))


@pytest.mark.parametrize("reason", [None, FailureReason.DATA_ERROR])
def test_terminal_is_terminal(reason: FailureReason | None) -> None:
    """Children that vanish bring nothing back."""
    job = ended(reason)

    assert Plan(job.status) == run_plan(job)


def test_what_still_runs_of_an_ended_job_is_deleted() -> None:
    """What ended is kept for its logs."""
    job = ended(FailureReason.DATA_ERROR)
    found = run_plan(job, make_crashed(0, FailureReason.DATA_ERROR), make_worker(1))

    assert Plan(job.status, delete=(Delete("shelves-1", "pod-1", None),)) == found


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    """Its children go with it."""
    job = run_job()
    gone = job.model_copy(
        update={"metadata": job.metadata.model_copy(update={"deletion_timestamp": "2026-01-02T03:04:05Z"})}
    )

    assert Plan(job.status) == run_plan(gone)


def suspended(job: TrainingJob) -> TrainingJob:
    """The job with ``suspend: true``."""
    return make_job(job.status, generation=2, suspend=True)


def test_a_suspended_job_saves_and_leaves() -> None:
    """Every pod is deleted with its own grace; nothing is counted; then the job is suspended."""
    job = run_job()
    first = run_plan(suspended(job), make_worker(0), make_worker(1))
    leaving = run_plan(
        with_status(suspended(job), first), make_preempted(0, terminating=True), make_worker(1, terminating=True)
    )
    done = run_plan(with_status(suspended(job), leaving))

    assert ("Suspending", (Delete("shelves-0", "pod-0", None), Delete("shelves-1", "pod-1", None))) == (
        first.status.phase,
        first.delete,
    )
    assert ("Suspending", (), (0, 0)) == (leaving.status.phase, leaving.delete, count(leaving))
    assert ("Suspended", 0, []) == (done.status.phase, done.status.nodes, made(done))


def test_a_resumed_job_starts_another_attempt() -> None:
    """Its progress and its start time stay."""
    job = run_job()
    status = run_plan(suspended(job)).status
    resumed = run_plan(make_job(status, generation=3))

    assert ("Starting", 2, job.status.start_time) == (
        resumed.status.phase,
        resumed.status.attempt,
        resumed.status.start_time,
    )


def test_a_job_resumed_too_early_waits_for_its_pods_to_go() -> None:
    """Two attempts never overlap."""
    job = run_job()
    stopping = run_plan(suspended(job), make_worker(0), make_worker(1)).status
    early = run_plan(make_job(stopping, generation=3), make_worker(1, terminating=True))

    assert ("Suspending", 1, []) == (early.status.phase, early.status.attempt, made(early))


def test_a_job_that_never_started_can_be_suspended() -> None:
    """It waits without an attempt."""
    found = run_plan(make_job(suspend=True))

    assert ("Suspended", None) == (found.status.phase, found.status.attempt)


def test_a_resized_job_stops_whole_and_starts_anew() -> None:
    """The world is one size at a time."""
    job = run_job()
    smaller = make_job(job.status, generation=2, nodes=1)
    first = run_plan(smaller, make_worker(0), make_worker(1))
    second = run_plan(with_status(smaller, first))

    assert ("Resizing", 1, 2) == (first.status.phase, first.status.attempt, len(first.delete))
    assert ("Starting", 2, 1) == (second.status.phase, second.status.attempt, second.status.nodes)


def test_a_name_that_belongs_to_something_else_is_waited_for() -> None:
    """The other rank is made; the sentence names the obstacle."""
    found = run_plan(start_job(), foreign=("shelves-0",))

    assert ("Starting", "NameConflict", "waiting for names that belong to something else: shelves-0") == told(found)
    assert (["shelves-1"], timedelta(seconds=2)) == (made(found), found.requeue_after)


def test_a_pod_of_an_older_attempt_is_removed() -> None:
    """It must not meet the ranks of this one."""
    job = with_status(make_job(), Plan(start_job().status.model_copy(update={"attempt": 2})))
    found = run_plan(job, make_worker(0, attempt=1), make_worker(1, attempt=2))

    assert Plan(job.status, delete=(Delete("shelves-0", "pod-0", None),)) == found


def test_a_replacement_is_told_what_its_peers_were_told() -> None:
    """An operator of another release may have made them."""
    job = run_job()
    lost = with_status(job, run_plan(job, make_worker(0, run_config="frozen")))
    found = run_plan(lost, make_worker(0, run_config="frozen"))

    assert "frozen" == found.create[0].manifest["metadata"]["annotations"]["rfdetr.io/run-config"]


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
