"""Suspended, resumed, resized: one attempt ends whole before the next one starts."""

from __future__ import annotations

from datetime import timedelta

from builders import (
    make_job,
    make_preempted,
    make_worker,
    read_counts,
    read_names,
    read_story,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_operator.api.v1alpha1 import (
    TrainingJob,
    WorldStatus,
)
from rfdetr_operator.core.model import Delete, Plan


def count_ranks(job: TrainingJob) -> TrainingJob:
    """The job after rank 0 reported its world."""
    world = WorldStatus(expected=job.ranks, attested=job.ranks)
    return job.model_copy(update={"status": job.status.model_copy(update={"world": world})})


def suspended(job: TrainingJob) -> TrainingJob:
    """The job with ``suspend: true``."""
    return make_job(job.status, generation=2, suspend=True)


def test_a_suspended_job_saves_and_leaves() -> None:
    """Every pod is deleted with its own grace; nothing is counted; then the job is suspended."""
    job = count_ranks(run_job())
    first = run_plan(suspended(job), make_worker(0), make_worker(1))
    leaving = run_plan(
        with_status(suspended(job), first), make_preempted(0, terminating=True), make_worker(1, terminating=True)
    )
    done = run_plan(with_status(suspended(job), leaving))

    assert ("Suspending", (Delete("shelves-0", "pod-0", None), Delete("shelves-1", "pod-1", None))) == (
        first.status.phase,
        first.delete,
    )
    assert ("Suspending", (), (0, 0)) == (leaving.status.phase, leaving.delete, read_counts(leaving))
    assert ("Suspended", 0, []) == (done.status.phase, done.status.nodes, read_names(done))


def test_a_job_whose_ranks_were_never_counted_leaves_soon() -> None:
    """A container's first process may not hear SIGTERM yet, and nothing waits to be saved: not the whole grace is waited."""
    found = run_plan(suspended(run_job()), make_worker(0), make_worker(1))

    assert (Delete("shelves-0", "pod-0", 30), Delete("shelves-1", "pod-1", 30)) == found.delete


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

    assert ("Suspending", 1, []) == (early.status.phase, early.status.attempt, read_names(early))


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

    assert ("Starting", "NameConflict", "waiting for names that belong to something else: shelves-0") == read_story(
        found
    )
    assert (["shelves-1"], timedelta(seconds=2)) == (read_names(found), found.requeue_after)


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
