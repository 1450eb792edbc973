"""How a job ends, and that an end is an end."""

from __future__ import annotations

import pytest

from builders import (
    make_crashed,
    make_done,
    make_ended,
    make_job,
    make_worker,
    read_counts,
    read_story,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_contract.report import FailureReason, Judgement, Outcome
from rfdetr_operator.api.v1alpha1 import (
    ResultStatus,
    TrainingJob,
)
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Delete, Notice, Plan, PodPhase


def test_a_refused_spec_that_is_mended_starts() -> None:
    """Another generation is judged anew."""
    refused = run_plan(make_job(nodes=3))
    mended = make_job(refused.status, generation=2, nodes=2)

    assert "Starting" == run_plan(mended).status.phase


@pytest.mark.parametrize(
    "reason", [FailureReason.CONFIG_ERROR, FailureReason.DATA_ERROR, FailureReason.WORLD_SIZE_MISMATCH]
)
def test_a_permanent_failure_ends_the_job_at_once(reason: FailureReason) -> None:
    """No restart mends it, so none is tried."""
    found = run_plan(start_job(), make_worker(0), make_crashed(1, reason))

    assert ("Failed", reason.value, "node rank 1: it broke") == read_story(found)
    assert ((0, 0), (Delete("shelves-0", "pod-0", None),), "2026-01-02T03:04:05Z") == (
        read_counts(found),
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

    assert ("Restarting", (1, 0)) == (found.status.phase, read_counts(found))


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
