"""The reconcile over a cluster in memory: its writes, their order and their pace, and deaths between any two of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from builders import (
    JOB,
    SETTINGS,
    START,
    make_body,
    make_crashed,
    make_done,
    make_preempted,
    make_progress,
    make_report,
)
from fake_cluster import KEY, FakeCluster, OperatorKilled, SpokenReports, make_claim_body, make_foreign
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import NodeState, Notice
from rfdetr_operator.shell.cluster import Conflict, Key
from rfdetr_operator.shell.reconcile import Reconciler


@dataclass
class Bench:
    """An operator that lives on, a cluster and a clock."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    reports: SpokenReports = field(default_factory=SpokenReports)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new operator: it remembers nothing."""
        self.reconciler = Reconciler(
            self.cluster, self.reports, SETTINGS, lambda: START + timedelta(seconds=self.seconds)
        )

    def reconcile(self) -> timedelta | None:
        """One pass."""
        return asyncio.run(self.reconciler(KEY))

    def listen(self, *heard: str) -> timedelta | None:
        """A pass after these versions of the job rang; none: it is only due."""
        return asyncio.run(self.reconciler(KEY, frozenset(heard)))

    def run(self) -> None:
        """Up to Running."""
        self.reconcile()
        self.cluster.run_all()
        self.reconcile()

    def row(self) -> tuple[str, str, str]:
        """Epoch, ETA and nodes as kubectl prints them."""
        display = self.cluster.status.display
        assert display is not None
        return display.epoch, display.eta, display.nodes


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


def make_resting() -> Bench:
    """A job that runs, has told its first progress and wants nothing; nobody has read it since."""
    bench = Bench()
    bench.run()
    bench.reports.report = make_report(progress=make_progress(1))
    bench.reconcile()
    bench.cluster.reads = 0
    bench.cluster.log.clear()
    return bench


def test_listening_to_a_running_job_reads_nothing_of_the_api_server() -> None:
    """Its progress is written at the usual pace, upon the version that our own last write made."""
    bench = make_resting()
    for second, epoch in ((11, 2), (16, 3), (22, 4)):
        bench.seconds = second
        bench.reports.report = make_report(progress=make_progress(epoch))
        bench.listen()

    assert (0, ["status Running", "status Running"]) == (bench.cluster.reads, bench.cluster.log)
    assert ("4/12", "3m20s", "2/2") == bench.row()


def test_an_echo_of_our_own_write_is_no_news() -> None:
    """Any other version is."""
    bench = make_resting()
    bench.reports.report = make_report(progress=make_progress())
    bench.seconds = 11
    bench.listen()
    version = bench.cluster.body["metadata"]["resourceVersion"]
    bench.listen(version)
    quiet = bench.cluster.reads
    bench.cluster.edit(runPolicy={"maxRestarts": 3})
    bench.listen(version, bench.cluster.body["metadata"]["resourceVersion"])

    assert (0, 1) == (quiet, bench.cluster.reads)


def test_a_pods_event_is_news() -> None:
    """The pod that it tells of is read, and replaced."""
    bench = make_resting()
    bench.cluster.vanish(1)
    bench.listen("")

    assert "create shelves-1 attempt 1 stored 1" in bench.cluster.log


def test_an_event_that_was_lost_is_made_good_within_half_a_minute() -> None:
    """What was read is not believed for longer."""
    bench = make_resting()
    bench.cluster.vanish(1)
    for second in range(0, 31, 5):
        bench.seconds = second
        bench.listen()

    assert (1, True) == (bench.cluster.reads, "shelves-1" in bench.cluster.pods)


def test_a_write_upon_an_old_version_is_refused_and_the_job_read_anew() -> None:
    """Somebody changed it and the event is still on its way."""
    bench = make_resting()
    bench.cluster.edit(runPolicy={"maxRestarts": 3})
    bench.reports.report = make_report(progress=make_progress())
    bench.seconds = 11
    bench.listen()

    assert (1, ["status Running"]) == (bench.cluster.reads, bench.cluster.log)


def make_two_nodes() -> Bench:
    """A job that runs on two nodes and makes progress, with both well."""
    bench = Bench()
    bench.reconcile()
    for rank, node in ((0, "alpha"), (1, "beta")):
        bench.cluster.place(rank, node)
        bench.cluster.nodes[node] = NodeState(node, silence=timedelta(seconds=1))
    bench.cluster.run_all()
    bench.reports.report = make_report(progress=make_progress())
    bench.reconcile()
    bench.reconcile()
    bench.cluster.log.clear()
    return bench


def pass_time(bench: Bench, seconds: int) -> None:
    """A pass every five seconds."""
    for _ in range(seconds // 5):
        bench.seconds += 5
        bench.reconcile()


def test_a_job_that_makes_progress_has_nobody_look_at_its_nodes() -> None:
    """One question to rank 0 a pass, none to the other pods."""
    bench = make_two_nodes()
    asked = bench.reports.asked
    for epoch in range(4, 8):
        bench.reports.report = make_report(progress=make_progress(epoch))
        pass_time(bench, 5)

    assert (asked + 4, []) == (bench.reports.asked, [each for each in bench.cluster.log if "look" in each])


def test_a_slow_job_whose_pods_answer_has_nobody_look_at_its_nodes() -> None:
    """A long validation is no loss."""
    bench = make_two_nodes()
    bench.cluster.nodes["beta"] = NodeState("beta", ready=False)
    pass_time(bench, 300)

    assert [] == bench.cluster.log


@pytest.mark.parametrize("rank", [0, 1])
def test_a_pod_on_a_lost_node_is_replaced(rank: int) -> None:
    """Rank 0's as well as another one's: seconds after both evidences are there, elsewhere if there is a choice."""
    bench = make_two_nodes()
    bench.reports.mute = {rank}
    node = ("alpha", "beta")[rank]
    bench.cluster.nodes[node] = NodeState(node, silence=timedelta(seconds=60))
    pass_time(bench, 20)
    if "nodeAffinity" not in json.dumps(bench.cluster.pods[f"shelves-{rank}"]):
        pass_time(bench, 5)

    shunned = json.dumps(bench.cluster.pods[f"shelves-{rank}"]["spec"]["affinity"])
    assert (1, True) == (bench.cluster.log.count(f"delete shelves-{rank}"), node in shunned)
    assert bench.cluster.status.restarts is not None
    assert (1, 0, 0) == (
        bench.cluster.status.restarts.node_losses,
        bench.cluster.status.restarts.preemptions,
        bench.cluster.status.restarts.counted,
    )


def test_a_silent_pod_on_a_healthy_node_is_left_alone() -> None:
    """A busy process, or a network policy that keeps the operator out."""
    bench = make_two_nodes()
    bench.reports.mute = {0, 1}
    pass_time(bench, 120)

    assert [] == [each for each in bench.cluster.log if "look" not in each]


def test_an_operator_that_never_heard_the_job_deletes_nothing() -> None:
    """It cannot tell a silent pod from a network that lets it hear none."""
    bench = make_two_nodes()
    bench.restart()
    bench.reports.mute = {0, 1}
    bench.cluster.nodes["beta"] = NodeState("beta", ready=False)
    pass_time(bench, 120)

    assert [] == [each for each in bench.cluster.log if "look" not in each]


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
