"""Lost pods: counted once, as a preemption or against the budget, and replaced."""

from __future__ import annotations

from datetime import timedelta

import pytest

from builders import (
    later,
    make_crashed,
    make_done,
    make_ended,
    make_preempted,
    make_worker,
    read_counts,
    read_names,
    read_story,
    run_job,
    run_plan,
    with_status,
)
from rfdetr_contract.report import FailureReason
from rfdetr_operator.api.v1alpha1 import (
    Restarts,
)
from rfdetr_operator.core.model import Delete


def test_a_preempted_worker_does_not_spend_the_budget() -> None:
    """It is counted as a preemption, its object is removed, and the reason is told."""
    found = run_plan(run_job(), make_worker(0), make_preempted(1))

    assert ((0, 1), ["pod-1"], (Delete("shelves-1", "pod-1", 0),)) == (
        read_counts(found),
        found.status.counted_pods,
        found.delete,
    )
    assert ("Restarting", "Preempted", "node rank 1 is being replaced after a preemption") == read_story(found)


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

    assert [(0, 1), (), [], ["shelves-1"]] == [
        read_counts(leaving),
        leaving.delete,
        read_names(waiting),
        read_names(gone),
    ]


def test_a_pod_that_vanished_is_a_preemption() -> None:
    """Force-deleted, or gone with its node: counted in one plan, made in the next."""
    first = run_plan(run_job(), make_worker(0))
    second = run_plan(with_status(run_job(), first), make_worker(0))

    assert ((0, 1), [], True) == (read_counts(first), read_names(first), first.again)
    assert ((0, 1), ["shelves-1"]) == (read_counts(second), read_names(second))


def test_a_failure_spends_the_budget_and_waits() -> None:
    """The first one waits a second, and the status says what happened."""
    job = run_job()
    failed = run_plan(job, make_worker(0), make_crashed(1))
    early = run_plan(with_status(job, failed), make_worker(0), now=later(0.4))
    due = run_plan(with_status(job, failed), make_worker(0), now=later(1))

    assert ("Restarting", "WorkerFailed", "node rank 1: it broke (restart 1 of 10)") == read_story(failed)
    assert ((1, 0), [], timedelta(seconds=0.6), ["shelves-1"]) == (
        read_counts(failed),
        read_names(early),
        early.requeue_after,
        read_names(due),
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

    assert ((1, 0), "node rank 1: it broke (restart 1 of 10)") == (read_counts(found), read_story(found)[2])


def test_a_lost_peer_soon_after_a_failure_is_not_counted_again() -> None:
    """It belongs to the same incident."""
    job = run_job()
    failed = run_plan(job, make_worker(0), make_crashed(1))
    later_on = run_plan(with_status(job, failed), make_crashed(0, FailureReason.PEER_LOST), now=later(10))

    assert ((1, 0), (Delete("shelves-0", "pod-0", 0),)) == (read_counts(later_on), later_on.delete)


def test_a_spent_budget_fails_the_job() -> None:
    """The last reason is named, the survivors are deleted, the dead pod is kept for its log."""
    found = run_plan(run_job(runPolicy={"maxRestarts": 0}), make_worker(0), make_crashed(1))

    assert (
        "Failed",
        "BackoffLimitExceeded",
        "more than 0 restarts (runPolicy.maxRestarts); the last failure: node rank 1: it broke",
    ) == read_story(found)
    assert (Delete("shelves-0", "pod-0", None),) == found.delete


def test_a_rank_that_is_done_waits_for_the_others() -> None:
    """Ranks do not end in the same instant."""
    found = run_plan(run_job(), make_ended(0, make_done(0)), make_worker(1))

    assert ("Running", (), []) == (found.status.phase, found.delete, read_names(found))


def test_a_rank_that_is_done_is_replaced_with_one_that_is_lost() -> None:
    """The gang ends together or not at all."""
    found = run_plan(run_job(), make_ended(0, make_done(0)), make_preempted(1))

    assert (Delete("shelves-0", "pod-0", 0), Delete("shelves-1", "pod-1", 0)) == found.delete
