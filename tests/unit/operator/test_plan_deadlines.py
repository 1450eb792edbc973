"""Limits in time: of the whole job, of a start, and of what is kept of a job that ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from builders import (
    later,
    make_crashed,
    make_done,
    make_ended,
    make_worker,
    read_story,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_operator.api.v1alpha1 import TrainingJob
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Delete, Plan, PodPhase, Worker

BOTH = (make_worker(0), make_worker(1))


def read_failure(found: Plan) -> tuple[str, str]:
    """Why the job failed."""
    failed = find_condition(found.status, "Failed")
    assert failed is not None
    return failed.reason, failed.message


def end_job(**policy: object) -> TrainingJob:
    """A job that succeeded ten seconds after its start."""
    job = run_job(runPolicy=policy)
    return with_status(job, run_plan(job, *make_ends(), now=later(10)))


def make_ends() -> tuple[Worker, Worker]:
    """Both pods of a job that succeeded."""
    return make_ended(0, make_done(0)), make_ended(1, make_done(1))


def test_a_job_that_runs_too_long_fails() -> None:
    """Its pods go; until then the limit is waited for."""
    job = run_job(runPolicy={"activeDeadlineSeconds": 60})
    before = run_plan(job, *BOTH, now=later(57))
    after = run_plan(job, *BOTH, now=later(60))

    assert (timedelta(seconds=3), "Running") == (before.requeue_after, before.status.phase)
    assert ("DeadlineExceeded", "the job ran for 60 s (runPolicy.activeDeadlineSeconds)") == read_failure(after)
    assert ["shelves-0", "shelves-1"] == [each.name for each in after.delete]


def test_a_suspension_stops_the_clock_and_a_resume_winds_it_up() -> None:
    """Time without pods is not counted."""
    job = run_job(runPolicy={"activeDeadlineSeconds": 60})
    asleep = job.model_copy(update={"spec": job.spec.model_copy(update={"suspend": True})})
    leaving = with_status(asleep, run_plan(asleep, *BOTH, now=later(50)))
    suspended = with_status(leaving, run_plan(leaving, now=later(55)))
    still = run_plan(suspended, now=later(3600))
    awake = with_status(suspended, still).model_copy(update={"spec": job.spec})
    started = run_plan(awake, now=later(4000))

    assert ("Suspended", "Starting", "2026-01-02T04:10:45Z") == (
        still.status.phase,
        started.status.phase,
        started.status.active_since,
    )


def test_a_start_that_takes_too_long_fails_and_says_what_it_waited_for() -> None:
    """One of two pods found no node: the one that runs gives its GPUs back."""
    job = start_job(runPolicy={"startupDeadlineSeconds": 30})
    pods = (make_worker(0), make_worker(1, PodPhase.PENDING, waiting="Unschedulable"))
    found = run_plan(job, *pods, now=later(30))

    sentence = (
        "1 of 2 pods ran after 30 s (runPolicy.startupDeadlineSeconds); last seen: node rank 1 waits: Unschedulable; "
        "see: kubectl describe pod shelves-1"
    )
    assert ("StartupDeadlineExceeded", sentence) == read_failure(found)
    assert ["shelves-0", "shelves-1"] == [each.name for each in found.delete]


def test_a_job_that_has_run_has_started() -> None:
    """A pod that is lost later is not held against the start."""
    job = start_job(runPolicy={"startupDeadlineSeconds": 30})
    running = with_status(job, run_plan(job, *BOTH, now=later(5)))
    lost = with_status(running, run_plan(running, make_worker(0), make_crashed(1), now=later(20)))

    assert "Restarting" == run_plan(lost, make_worker(0), now=later(40)).status.phase


@pytest.mark.parametrize(
    ("policy", "seconds", "removed", "again"),
    [
        ({}, 10**7, False, None),
        ({"ttlSecondsAfterSucceeded": 100}, 70, False, timedelta(seconds=40)),
        ({"ttlSecondsAfterSucceeded": 100}, 110, True, None),
        ({"ttlSecondsAfterFailed": 100}, 10**7, False, None),
    ],
)
def test_an_ended_job_is_kept_as_long_as_it_says(
    policy: dict[str, object], seconds: float, removed: bool, again: timedelta | None
) -> None:
    """For ever unless it says something; each end has its own time."""
    found = run_plan(end_job(**policy), *make_ends(), now=later(seconds))

    assert (removed, again) == (found.remove, found.requeue_after)


def test_a_failed_job_has_its_own_time() -> None:
    """The one after a failure."""
    job = run_job(runPolicy={"maxRestarts": 0, "ttlSecondsAfterFailed": 5, "ttlSecondsAfterSucceeded": 9000})
    failed = with_status(job, run_plan(job, make_worker(0), make_crashed(1), now=later(10)))

    assert [False, True] == [run_plan(failed, now=later(seconds)).remove for seconds in (14, 15)]


@pytest.mark.parametrize(
    ("policy", "deleted"),
    [
        ({}, ["shelves-0"]),
        ({"cleanPodPolicy": "Running"}, ["shelves-0"]),
        ({"cleanPodPolicy": "All"}, ["shelves-0", "shelves-1"]),
        ({"cleanPodPolicy": "None"}, []),
    ],
)
def test_which_pods_an_ended_job_keeps(policy: dict[str, object], deleted: list[str]) -> None:
    """Those that ended keep their logs, unless the user wants them gone."""
    job = run_job(runPolicy={"maxRestarts": 0, **policy})
    pods = make_worker(0), make_crashed(1)
    first = run_plan(job, *pods)
    again = run_plan(with_status(job, first), *pods)

    assert [deleted, deleted] == [[each.name for each in found.delete] for found in (first, again)]


def test_pods_of_a_job_that_succeeded_go_when_all_are_to_go() -> None:
    """In the pass that tells of it, and in any later one."""
    job = run_job(runPolicy={"cleanPodPolicy": "All"})
    first = run_plan(job, *make_ends())
    second = run_plan(with_status(job, first), *make_ends())

    both = (Delete("shelves-0", "pod-0", 0), Delete("shelves-1", "pod-1", 0))
    assert both == second.delete
    assert "Succeeded" == read_story(second)[0]
