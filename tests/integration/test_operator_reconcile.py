"""The writes of the reconcile, their order and their pace, and deaths of the operator between any two of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from builders import make_body, make_crashed, make_done, make_preempted, make_progress, make_report
from fake_cluster import FakeCluster, OperatorKilled
from reconcile_bench import Bench
from rfdetr_operator.shell.cluster import Conflict, Key


def test_from_create_to_running_are_two_status_writes_and_one_write_a_child() -> None:
    """The attempt, the Service, the pods, and Running."""
    bench = Bench()
    bench.run()

    assert [
        "status Starting",
        "create shelves-ranks",
        "create shelves-0 attempt 1 stored 1",
        "create shelves-1 attempt 1 stored 1",
        "status Running",
    ] == bench.cluster.log


def test_a_pass_over_a_job_at_rest_writes_nothing() -> None:
    """Only the next reading of the report is due."""
    bench = Bench()
    bench.run()
    written = list(bench.cluster.log)

    assert (timedelta(seconds=5), written) == (bench.reconcile(), bench.cluster.log)


def test_progress_is_written_at_a_pace() -> None:
    """The first at once, the next ones once in ten seconds."""
    bench = Bench()
    bench.run()
    rows = []
    for seconds, epoch in ((1, 1), (5, 2), (11, 3)):
        bench.seconds = seconds
        bench.reports.report = make_report(progress=make_progress(epoch))
        bench.reconcile()
        rows.append(bench.row())

    assert [("1/12", "3m20s", "2/2"), ("1/12", "3m20s", "2/2"), ("3/12", "3m20s", "2/2")] == rows


def test_the_report_is_read_only_when_nothing_is_to_be_done() -> None:
    """A rank 0 that answers slowly delays no replacement."""
    bench = Bench()
    bench.run()
    asked = bench.reports.asked
    bench.cluster.vanish(1)
    bench.reconcile()

    assert asked == bench.reports.asked


def test_a_job_that_is_gone_is_forgotten() -> None:
    """A pod's last event may ring for it."""
    bench = Bench()

    assert asyncio.run(bench.reconciler(Key("team", "gone"))) is None


def test_who_was_overtaken_touches_nothing() -> None:
    """Somebody wrote the job between our read and our write: no delete and no create follow, the queue rings again."""
    bench = Bench()
    bench.run()
    written = list(bench.cluster.log)
    bench.cluster.end(1, make_preempted(1).report)
    bench.cluster.meanwhile = lambda: bench.cluster.edit(suspend=True)

    with pytest.raises(Conflict):
        bench.reconcile()
    assert written == bench.cluster.log


@pytest.mark.parametrize("lives", range(1, 5))
def test_an_operator_that_dies_while_it_starts_a_job_leaves_no_trace(lives: int) -> None:
    """Whichever write was its last, the next one comes to the same children and the same status."""
    whole, broken = Bench(), Bench()
    whole.run()
    broken.cluster.lives = lives
    with pytest.raises(OperatorKilled):
        broken.reconcile()
    broken.restart()
    broken.run()

    assert (whole.cluster.status, sorted(whole.cluster.log)) == (broken.cluster.status, sorted(broken.cluster.log))


@pytest.mark.parametrize("lives", [1, 2])
def test_a_failure_is_counted_once_wherever_the_operator_dies(lives: int) -> None:
    """After the count, or after the delete."""
    bench = Bench()
    bench.run()
    bench.cluster.end(1, make_crashed(1).report)
    bench.cluster.lives = lives
    with pytest.raises(OperatorKilled):
        bench.reconcile()
    bench.restart()
    bench.reconcile()
    bench.seconds = 2
    bench.run()

    restarts = bench.cluster.status.restarts
    assert restarts is not None
    assert ("Running", 1, 0) == (bench.cluster.status.phase, restarts.counted, restarts.preemptions)


def test_a_lost_rank_comes_back_in_one_pass() -> None:
    """Counted, then made, without waiting for an event."""
    bench = Bench()
    bench.run()
    before = len(bench.cluster.log)
    bench.cluster.vanish(1)
    bench.reconcile()

    assert ["status Restarting", "create shelves-1 attempt 1 stored 1"] == bench.cluster.log[before:]


def test_a_finished_job_is_left_alone() -> None:
    """Its pods stay for their logs, and when they vanish nothing happens."""
    bench = Bench()
    bench.run()
    for rank in (0, 1):
        bench.cluster.end(rank, make_done(rank))
    bench.reconcile()
    written = list(bench.cluster.log)
    bench.cluster.vanish(0)

    assert (None, written, "Succeeded") == (bench.reconcile(), bench.cluster.log, bench.cluster.status.phase)


def test_a_job_is_deleted_when_its_time_is_over() -> None:
    """Not before."""
    bench = Bench(FakeCluster(make_body(runPolicy={"ttlSecondsAfterSucceeded": 30})))
    bench.run()
    for rank in (0, 1):
        bench.cluster.end(rank, make_done(rank))
    bench.reconcile()
    bench.cluster.log.clear()
    wait = bench.reconcile()
    early = list(bench.cluster.log)
    bench.seconds = 30
    bench.reconcile()

    assert (timedelta(seconds=30), [], ["remove shelves"]) == (wait, early, bench.cluster.log)
