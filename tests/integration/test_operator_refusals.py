"""What the reconcile may not have: a spec that it cannot read, a name that is taken, a pod that is not let in."""

from __future__ import annotations

from datetime import timedelta

from builders import JOB, make_body
from fake_cluster import FakeCluster, make_claim_body, make_foreign
from reconcile_bench import Bench
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Notice


def test_a_spec_of_another_version_is_refused_with_its_path_and_value() -> None:
    """What the schema would not let in may be stored all the same."""
    body = make_body(training={"epochs": "many"})
    bench = Bench(FakeCluster(body))

    bench.reconcile()
    assert [
        Notice(
            "Warning",
            "InvalidSpec",
            "spec.training.epochs: Input should be a valid integer, unable to parse string as an integer, got 'many'",
        )
    ] == bench.cluster.notices
    assert "Failed" == bench.cluster.body["status"]["phase"]


def test_a_pod_of_an_earlier_job_is_waited_for() -> None:
    """The name is the lock; when it is free the rank is made."""
    bench = Bench(FakeCluster(pods={f"{JOB}-0": make_foreign(f"{JOB}-0")}))
    due = bench.reconcile()
    bench.cluster.vanish(0)
    bench.reconcile()

    assert (timedelta(seconds=2), ["shelves-0", "shelves-1"]) == (due, sorted(bench.cluster.pods))


def test_an_unlabelled_object_in_the_way_is_told() -> None:
    """It is not seen in the list, only when the name is taken."""
    foreign = make_claim_body("shelves-ranks")
    bench = Bench()
    bench.cluster.services["shelves-ranks"] = {**foreign, "metadata": {**foreign["metadata"], "ownerReferences": []}}
    bench.cluster.hidden = {"shelves-ranks"}

    assert timedelta(seconds=2) == bench.reconcile()
    assert Notice("Warning", "NameConflict", "Service shelves-ranks: shelves-ranks") == bench.cluster.notices[-1]


def test_a_refused_create_stands_in_the_status_until_it_works() -> None:
    """In the API server's own words, written once; afterwards the job starts as if nothing had been."""
    bench = Bench()
    bench.cluster.refusal = "create Pod shelves-0: 403 exceeded quota: gpus"
    waits = [bench.reconcile() for _ in range(3)]
    told = [each for each in bench.cluster.log if "status" in each]
    running = find_condition(bench.cluster.status, "Running")
    bench.cluster.refusal = ""
    bench.seconds = 60
    bench.run()

    assert ([timedelta(seconds=60)] * 3, ["status Starting", "status Starting"]) == (waits, told)
    assert running is not None
    assert ("CreateRefused", "Pod shelves-0: create Pod shelves-0: 403 exceeded quota: gpus") == (
        running.reason,
        running.message,
    )
    assert "Running" == bench.cluster.status.phase


def test_half_a_gang_that_never_ran_holds_nothing() -> None:
    """The quota has room for one of two pods: it gives its place back at once, and both are tried again later."""
    bench = Bench(FakeCluster(room=1))
    wait = bench.reconcile()
    bench.cluster.run_all()
    for _ in range(2):
        bench.reconcile()
    bench.cluster.finish_deletions()
    bench.reconcile()
    none = dict(bench.cluster.pods)
    bench.cluster.room = None
    bench.seconds = 60
    bench.run()

    assert (timedelta(seconds=60), {}) == (wait, none)
    assert 1 == bench.cluster.log.count("delete shelves-0")
    assert ("Running", (0, 0)) == (bench.cluster.status.phase, read_restarts(bench))


def test_a_gang_that_ran_keeps_what_it_has() -> None:
    """A replacement that is refused costs the peers nothing: they wait with what they know."""
    bench = Bench()
    bench.run()
    bench.cluster.refusal = "quota"
    bench.cluster.vanish(1)
    for _ in range(3):
        bench.reconcile()

    assert ["shelves-0"] == list(bench.cluster.pods)


def read_restarts(bench: Bench) -> tuple[int, int]:
    """Counted failures and preemptions."""
    restarts = bench.cluster.status.restarts
    return (restarts.counted, restarts.preemptions) if restarts else (0, 0)
